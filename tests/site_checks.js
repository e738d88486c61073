// What is wrong with the page that is shown, for Selenium's asynchronous scripts.
const done = arguments[0];

const brokenWords = (code) => {
  const text = document.createTreeWalker(code, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  const line = (at) => {
    range.setStart(text.currentNode, at);
    range.setEnd(text.currentNode, at + 1);
    return range.getBoundingClientRect().top;
  };
  while (text.nextNode()) {
    for (const { index } of text.currentNode.data.matchAll(/\w(?=\w)/g)) {
      if (Math.abs(line(index) - line(index + 1)) > 4) return true;
    }
  }
  return false;
};

const scrolls = (element) =>
  ["auto", "scroll"].includes(getComputedStyle(element).overflowX);

const height = (element) => element.getBoundingClientRect().height;

const findings = () => {
  const found = [];
  const root = document.documentElement;
  const require = (holds, problem, element) =>
    holds || found.push(`${problem}: ${element.textContent.slice(0, 60)}`);

  require(root.scrollWidth <= root.clientWidth, "scrolls sideways", document.querySelector("h1"));
  for (const image of document.images) {
    if (!image.naturalWidth) found.push(`broken image: ${image.src}`);
  }
  for (const table of document.querySelectorAll("article table")) {
    const box = table.closest(".md-typeset__scrollwrap") ?? table.parentElement;
    const fits = table.scrollWidth <= box.clientWidth;
    require(fits || scrolls(box), "table is cut", table);
  }
  for (const code of document.querySelectorAll("table code")) {
    require(!brokenWords(code), "code breaks inside a word", code);
  }
  for (const fence of document.querySelectorAll("mo[stretchy=true]")) {
    const others = [...fence.parentElement.children].filter((x) => x.tagName !== "mo");
    const tallest = Math.max(0, ...others.map(height));
    require(height(fence) > 0.8 * tallest, "low brace", fence.parentElement);
  }
  return found;
};

// Two frames later the page has the layout and the colours of its screen.
document.fonts.ready.then(() =>
  requestAnimationFrame(() =>
    requestAnimationFrame(() => done([document.body.dataset.mdColorScheme, findings()])),
  ),
);
