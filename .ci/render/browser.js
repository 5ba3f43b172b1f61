// Shows the rendered pages in Chromium as GitHub does: in each width and theme. Takes screenshots, and prints what is
// wider than its column. A table or a code block then scrolls inside; anything else would widen the page.

import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [chromium, html, directory] = process.argv.slice(2);
const modules = join(dirname(fileURLToPath(import.meta.url)), "node_modules");
const repository = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

// The width of the window, and that of the text on GitHub: a phone, half a screen, and a screen with the bar on the right.
const WIDTHS = [
  [390, 358],
  [817, 753],
  [1280, 830],
];
const THEMES = ["light", "dark"];
// Chromium cannot paint more at once, and a taller image is unreadable.
const MAX_PIXELS = 3000;

const pages = JSON.parse(readFileSync(html, "utf8"));

function page(path, body, theme, column) {
  const base = pathToFileURL(join(repository, path));
  const colors = theme === "dark" ? "#0d1117" : "#ffffff";
  return `<!doctype html><meta charset="utf-8"><base href="${base}">
    <link rel="stylesheet" href="${pathToFileURL(join(modules, `github-markdown-css/github-markdown-${theme}.css`))}">
    <style>body { margin: 0; background: ${colors} } article { width: ${column}px; margin: 16px auto !important }
    pre.mermaid { background: none !important; text-align: center; padding: 0 !important; overflow: visible !important }</style>
    <article class="markdown-body">${body}</article>${body.includes('class="mermaid"') ? diagrams(theme) : ""}`;
}

function diagrams(theme) {
  return `<script src="${pathToFileURL(join(modules, "mermaid/dist/mermaid.min.js"))}"></script>
    <script>
      mermaid.initialize({ startOnLoad: false, theme: "${theme === "dark" ? "dark" : "default"}" });
      window.drawn = mermaid.run();
    </script>`;
}

// In the browser: what is wider than its column, with the heading above it.
function overflows() {
  const article = document.querySelector("article");
  const right = article.getBoundingClientRect().right;
  const found = [];
  let heading = "";
  for (const element of article.querySelectorAll("*")) {
    if (/^H[1-6]$/.test(element.tagName)) {
      heading = element.textContent;
    }
    const name = element.tagName.toLowerCase();
    if (element.closest("svg") && name !== "svg") {
      continue;
    }
    if (["table", "pre"].includes(name)) {
      if (element.scrollWidth > element.clientWidth + 1) {
        found.push({ name, heading, width: element.scrollWidth, column: element.clientWidth });
      }
    } else if (!element.parentElement.closest("table, pre:not(.mermaid)")) {
      const box = element.getBoundingClientRect();
      if (box.right > right + 1) {
        found.push({ name, heading, width: Math.round(box.width), column: article.clientWidth });
      }
    }
  }
  for (const svg of article.querySelectorAll("pre.mermaid svg")) {
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    found.push({ name: "diagram: its text is", heading, width: Math.round(16 * scale * 10) / 10, column: 16 });
  }
  return found;
}

const browser = await puppeteer.launch({
  executablePath: chromium,
  // Chromium's own isolation does not work for root, and in most containers. It only opens local files.
  args: ["--no-sandbox", "--allow-file-access-from-files", "--hide-scrollbars", "--force-color-profile=srgb"],
});
mkdirSync(directory, { recursive: true });
let isBroken = false;
for (const [path, body] of Object.entries(pages)) {
  for (const [width, column] of WIDTHS) {
    for (const theme of THEMES) {
      const tab = await browser.newPage();
      await tab.setViewport({ width, height: 900 });
      await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
      await tab.goto(pathToFileURL(join(repository, ".ci/render/empty.html")));
      await tab.setContent(page(path, body, theme, column), { waitUntil: "load" });
      await tab.evaluate("window.drawn");
      for (const { name, heading, ...found } of await tab.evaluate(overflows)) {
        console.log(`${path}  ${width}  ${theme}  ${name}  ${found.width} of ${found.column}  ${heading}`);
        isBroken ||= !["table", "pre"].includes(name) && !name.startsWith("diagram");
      }
      const height = await tab.evaluate("document.documentElement.scrollHeight");
      const start = join(directory, `${path.replaceAll("/", ".").replace(/\.md$/, "")}.${width}.${theme}`);
      for (let top = 0, part = 1; top < height; top += MAX_PIXELS, part += 1) {
        const clip = { x: 0, y: top, width, height: Math.min(MAX_PIXELS, height - top) };
        await tab.screenshot({ path: `${start}.${part}.png`, clip, captureBeyondViewport: true });
      }
      await tab.close();
    }
  }
}
await browser.close();
if (isBroken) {
  console.log("something other than a table or a code block is wider than its column");
  process.exitCode = 1;
}
