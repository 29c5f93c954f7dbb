// As much of a browser's document as the pages of web/ need to be built in, and the pages themselves.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import {fileURLToPath, pathToFileURL} from "node:url";

class Element {
  constructor(tag) {
    this.tag = tag;
    this.attributes = {};
    this.children = [];
  }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
  }
  addEventListener() {}
  // Like a browser's, it makes text of whatever is no element: of a list too.
  append(...children) {
    this.children.push(...children.map(child => child instanceof Element ? child : String(child)));
  }
  replaceChildren(...children) {
    this.children = [];
    this.append(...children);
  }
  get textContent() {
    return this.children.map(child => child instanceof Element ? child.textContent : child).join("");
  }
  set textContent(text) {
    this.children = [text];
  }
  querySelector() {
    return null;
  }
  // Itself and all below it that `wanted` accepts.
  all(wanted) {
    const below = this.children.flatMap(child => child instanceof Element ? child.all(wanted) : []);
    return wanted(this) ? [this, ...below] : below;
  }
  withClass(name) {
    return this.all(each => (each.attributes.class ?? "").split(" ").includes(name));
  }
  // The table's cells of this column, as text.
  column(title) {
    return this.all(each => each.tag === "td" && each.attributes["data-title"] === title).map(each => each.textContent);
  }
}

globalThis.document = {createElement: tag => new Element(tag), createElementNS: (space, tag) => new Element(tag), activeElement: null};
// A chart is drawn when its place has a width: at once, and 800 wide.
globalThis.ResizeObserver = class {
  constructor(draw) {
    this.draw = draw;
  }
  observe() {
    this.draw([{contentRect: {width: 800}}]);
  }
};

// What a page's render() gives, as one element.
export function whole(nodes) {
  const main = new Element("main");
  main.append(...[nodes].flat(Infinity).filter(node => node !== null && node !== undefined));
  return main;
}

// Node takes a .js file for a module only where a package.json says so; a browser needs none.
const pages = fs.mkdtempSync(path.join(os.tmpdir(), "seedbed-pages-"));
fs.cpSync(path.join(path.dirname(fileURLToPath(import.meta.url)), "../../web"), pages, {recursive: true});
fs.writeFileSync(path.join(pages, "package.json"), '{"type": "module"}');
process.on("exit", () => fs.rmSync(pages, {recursive: true}));

export function page(name) {
  return import(pathToFileURL(path.join(pages, name)));
}
