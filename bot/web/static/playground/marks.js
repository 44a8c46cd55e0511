// WhatsApp's own marks: *bold*, _italic_, ~struck~, ```code```, "> quoted", and links. All of it is set in as text.

import { element, words } from "./page.js";

const MARKS = [
  [/```([^`\n]+)```/u, (found) => element("code", found[1])],
  [/https?:\/\/[^\s<>"]*[^\s<>".,;:!?)\]*~]/u, link], // a token may end with "_"
  [/(?<![\p{L}\p{N}*])\*(?=\S)([^*\n]*\S)\*(?![\p{L}\p{N}*])/u, (found) => element("strong", ...inline(found[1]))],
  [/(?<![\p{L}\p{N}_])_(?=\S)([^_\n]*\S)_(?![\p{L}\p{N}_])/u, (found) => element("em", ...inline(found[1]))],
  [/(?<![\p{L}\p{N}~])~(?=\S)([^~\n]*\S)~(?![\p{L}\p{N}~])/u, (found) => element("s", ...inline(found[1]))],
];

function link(found) {
  const made = element("a", found[0], element("span", ` (${words.new_tab})`));
  made.lastChild.className = "unseen";
  return Object.assign(made, { href: found[0], target: "_blank", rel: "noopener noreferrer" });
}

function inline(text) {
  const hits = MARKS.map(([pattern, make]) => ({ found: pattern.exec(text), make })).filter((hit) => hit.found);
  if (!hits.length) return text ? [text] : [];
  const { found, make } = hits.reduce((first, hit) => (hit.found.index < first.found.index ? hit : first));
  const rest = text.slice(found.index + found[0].length);
  return [text.slice(0, found.index), make(found), ...inline(rest)].filter((part) => part !== "");
}

export function rich(text) {
  return text.split("\n").map((line) => {
    const quoted = line.startsWith("> ");
    const made = element(quoted ? "blockquote" : "p", ...inline(quoted ? line.slice(2) : line));
    if (!line) made.className = "gap";
    return made;
  });
}
