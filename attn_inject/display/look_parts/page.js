"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const COLORS = ["#1f6feb", "#e07b39", "#2a9d63", "#b5529c", "#8a6d3b", "#d1495b", "#5b8e9e", "#7a6ff0", "#9aa53f", "#777777"];
const SVG = "http://www.w3.org/2000/svg";

/* Names from files are set as text, never as markup. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
function draw(tag, attributes, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const percent = (share) => (100 * share).toFixed(0) + "%";

/* A map is [rows, columns, bytes]; it is painted at its own size and scaled by the browser. */
const decode = (map) => map && Uint8Array.from(atob(map[2]), (c) => c.charCodeAt(0));
function heat(rows, columns, color) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let at = 0; at < rows * columns; at += 1) image.data.set(color(at), 4 * at);
  context.putImageData(image, 0, 0);
  return canvas;
}
function paint(canvas, image, overlay) {
  [canvas.width, canvas.height] = [image.naturalWidth || 160, image.naturalHeight || 160];
  const context = canvas.getContext("2d");
  if (overlay) context.filter = "grayscale(1)";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  context.filter = "none";
  if (overlay) context.drawImage(overlay, 0, 0, canvas.width, canvas.height);
}
const glow = (values) => (at) => [255, 96, 0, Math.round(0.75 * values[at])];
const contrast = (less, more) => (at) => {
  const change = more[at] - less[at];
  return [...(change > 0 ? [255, 128, 0] : [0, 110, 255]), Math.min(230, 2 * Math.abs(change))];
};

/* Gates by depth. */
function depth() {
  const sites = data.sites.filter((site) => site.gates.length);
  if (!sites.length) {
    byId("depth").append(make("p", { class: "note" }, "These modules have no gates."));
    return;
  }
  const [width, height, left, bottom, top] = [1180, 280, 40, 34, 12];
  const x = (at) => left + ((width - left - 20) * (at + 0.5)) / sites.length;
  const means = sites.map((site) => mean(site.gates.map((gate) => gate.mean)));
  const spreads = sites.map((site) => mean(site.gates.map((gate) => gate.std)));
  const high = Math.max(1, ...means.map((value, at) => value + spreads[at]));
  const low = Math.min(0, ...means.map((value, at) => value - spreads[at]));
  const y = (value) => height - bottom - ((height - bottom - top) * (value - low)) / (high - low);
  const label = `Mean gate of ${sites.length} sites: from ${means[0].toFixed(2)} at ${sites[0].name} to ${means.at(-1).toFixed(2)} at ${sites.at(-1).name}`;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, preserveAspectRatio: "none" });
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(draw("line", { class: "rule", x1: left, x2: width - 20, y1: y(tick), y2: y(tick) }));
    svg.append(draw("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
  }
  const upper = means.map((value, at) => `${x(at)},${y(value + spreads[at])}`);
  const lower = means.map((value, at) => `${x(at)},${y(value - spreads[at])}`).reverse();
  svg.append(draw("polygon", { class: "band", points: [...upper, ...lower].join(" ") }));
  const few = data.classes.length > 1 && data.classes.length <= COLORS.length;
  const lines = few ? data.classes.map((name, index) => sites.map((site) => mean(site.gates.map((gate) => gate.by_class[index] ?? gate.mean)))) : [means];
  lines.forEach((values, index) => {
    const points = values.map((value, at) => `${x(at)},${y(value)}`).join(" ");
    svg.append(draw("polyline", { class: "line", stroke: COLORS[index], points }));
    values.forEach((value, at) => svg.append(draw("circle", { cx: x(at), cy: y(value), r: 3, fill: COLORS[index] })));
  });
  const step = Math.ceil(sites.length / 10);
  sites.forEach((site, at) => {
    if (at % step === 0) svg.append(draw("text", { x: x(at), y: height - 10, "text-anchor": "middle" }, site.name));
  });
  const legend = make("div", { class: "legend" });
  if (few) data.classes.forEach((name, index) => legend.append(make("span", { style: `--own: ${COLORS[index]}` }, name)));
  byId("depth").append(svg, legend);
}

/* One site. */
function histogram(gate) {
  const most = Math.max(1, ...gate.histogram);
  const svg = draw("svg", { viewBox: "0 0 260 110", role: "img", "aria-label": `Histogram of ${gate.name}: mean ${gate.mean.toFixed(2)}, standard deviation ${gate.std.toFixed(2)}` });
  gate.histogram.forEach((count, at) => {
    const size = (90 * count) / most;
    svg.append(draw("rect", { class: "bin", x: 2 + at * 12.8, y: 94 - size, width: 11.4, height: size }));
  });
  svg.append(draw("line", { class: "rule", x1: 0, x2: 260, y1: 94, y2: 94 }));
  for (const [at, text, anchor] of [[2, "0", "start"], [130, "0.5", "middle"], [258, "1", "end"]]) svg.append(draw("text", { x: at, y: 108, "text-anchor": anchor }, text));
  return make("figure", {}, svg, make("figcaption", {}, `${gate.name}: mean ${gate.mean.toFixed(3)}, std ${gate.std.toFixed(3)}`));
}
const shown = data.pictures.map((picture) => {
  const image = new Image();
  image.src = picture.image;
  return { picture, image, ready: image.decode().catch(() => null) };
});
const canvases = shown.map(({ picture }) => {
  const canvas = make("canvas", { role: "img" });
  const said = picture.base_said && picture.base_said[0] !== picture.said[0] ? `${picture.base_said[0]}, now ${picture.said[0]}` : picture.said[0];
  byId("maps").append(make("figure", {}, canvas, make("figcaption", {}, `${picture.name}: ${said} (${percent(picture.said[1])})`)));
  return canvas;
});
async function show(index) {
  const site = data.sites[index];
  byId("site").value = String(index);
  const bounds = site.scale ? `Its map lies over each image, clear at ${site.scale[0].toPrecision(3)} and orange at ${site.scale[1].toPrecision(3)}.` : "It has no map: its gates are the same at every position.";
  byId("about").textContent = `${site.name}: ${site.gates.length ? site.gates.map((gate) => gate.name).join(", ") : "no gate, but a residual"}. ${bounds}`;
  byId("histograms").replaceChildren(...site.gates.map(histogram));
  for (const [at, { picture, image, ready }] of shown.entries()) {
    await ready;
    if (byId("site").value !== String(index)) return;
    const map = picture.maps[index];
    paint(canvases[at], image, map && heat(map[0], map[1], glow(decode(map))));
    canvases[at].setAttribute("aria-label", `${picture.name}${map ? ", map of " + site.name : ""}`);
  }
}
data.sites.forEach((site, index) => byId("site").append(make("option", { value: index }, site.name)));
byId("site").addEventListener("change", (event) => show(Number(event.target.value)));
const move = (by) => show((Number(byId("site").value) + by + data.sites.length) % data.sites.length);
byId("before").addEventListener("click", () => move(-1));
byId("next").addEventListener("click", () => move(1));

/* Class activation maps, drawn when they come into view. */
function cams() {
  const every = shown.filter(({ picture }) => picture.cams);
  byId("cams-section").hidden = !every.length;
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((one) => one.isIntersecting)) {
      near.unobserve(entry.target);
      entry.target.paint();
    }
  }, { rootMargin: "400px" });
  for (const { picture, image, ready } of every) {
    const titles = ["base", "modified", "difference"];
    const parts = titles.map((title) => make("canvas", { role: "img", "aria-label": `${picture.name}, class ${picture.cam_class}: ${title}` }));
    const row = make("div", { class: "row" }, ...parts.map((canvas, at) => make("div", {}, canvas, titles[at])));
    const figure = make("figure", {}, row, make("figcaption", {}, `${picture.name}: ${picture.cam_class}`));
    figure.paint = async () => {
      await ready;
      const [[rows, columns], before, after] = [picture.cams[0], decode(picture.cams[0]), decode(picture.cams[1])];
      [glow(before), glow(after), contrast(before, after)].forEach((color, at) => paint(parts[at], image, heat(rows, columns, color)));
    };
    byId("cams").append(figure);
    near.observe(figure);
  }
}

depth();
cams();
if (data.sites.length) show(0);
