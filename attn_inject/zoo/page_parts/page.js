"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const rows = data.outputs.map((row, index) => ({ ...row, index, module: row.attention.join(" + ") }));
  const byId = (id) => document.getElementById(id);

  // Text is only ever set as text, so that no name from a model or an error becomes markup.
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const draw = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };

  // Numbers as people read them.
  const scaled = (value) => {
    const steps = ["", "k", "M", "G", "T"];
    let step = 0;
    while (Math.abs(value) >= 1000 && step < steps.length - 1) { value /= 1000; step += 1; }
    return (step || !Number.isInteger(value) ? value.toPrecision(value >= 100 ? 4 : 3) : value) + steps[step];
  };
  const storage = (bytes) => { const text = scaled(bytes); return text.replace(/[kMGT]?$/, (unit) => ` ${unit}B`); };
  const percent = (delta, base) => (base ? (100 * delta) / base : null);
  const share = (value) => {
    if (value === null) return "";
    if (value === 0) return "0%";
    return `+${Math.abs(value) >= 0.01 ? value.toFixed(2) : value.toPrecision(2)}%`.replace("+-", "-");
  };
  const short = (text) => text.replace(/(\.\d*?)0+(?=\D*$)/, "$1").replace(/\.(?=\D*$)/, "");
  const seconds = (value) => (value < 100 ? `${value.toFixed(1)} s` : value < 6000 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`);

  // ---- what the whole zoo came to
  const done = rows.filter((row) => row.status === "done");
  const failed = rows.filter((row) => row.status !== "done");
  const sum = (name) => done.reduce((total, row) => total + (row[name] || 0), 0);
  const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
  const models = new Set(rows.map((row) => row.model)).size;
  const modules = [...new Set(rows.map((row) => row.module))].sort();
  byId("lead").textContent = `${count(models, "model")}, ${count(modules.length, "attention module")}`;
  const tiles = [["done", done.length], ["failed", failed.length], ["modules written in", sum("sites").toLocaleString("en")],
    ["on disk", storage(done.filter((row) => !row.discarded).reduce((total, row) => total + row.bytes, 0))],
    ["time of all processes", seconds(rows.reduce((total, row) => total + row.seconds, 0))]];
  for (const [name, value] of tiles) {
    const tile = make("div", undefined, name === "failed" && failed.length ? { class: "bad" } : {});
    tile.append(make("dt", name), make("dd", value));
    byId("tiles").append(tile);
  }
  byId("versions").textContent = Object.entries(data.versions).map(([name, version]) => `${name} ${version}`).join("  ·  ");

  // ---- one look for each module: colours that most eyes can tell apart, and a shape
  const colours = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c6bb1", "#999933"];
  const shapes = [
    (r) => `M${-r},0a${r},${r} 0 1,0 ${2 * r},0a${r},${r} 0 1,0 ${-2 * r},0`,
    (r) => `M${-r * 0.9},${-r * 0.9}h${1.8 * r}v${1.8 * r}h${-1.8 * r}z`,
    (r) => `M0,${-1.2 * r}L${1.15 * r},${0.9 * r}L${-1.15 * r},${0.9 * r}z`,
    (r) => `M0,${-1.3 * r}L${1.3 * r},0L0,${1.3 * r}L${-1.3 * r},0z`,
  ];
  const look = (module) => {
    const place = modules.indexOf(module);
    return { fill: colours[place % colours.length], shape: shapes[Math.floor(place / colours.length) % shapes.length] };
  };

  // ---- what is shown
  const state = { filter: "", module: "", status: "", sort: "model", down: false, all: false, hidden: new Set() };
  const text = (row) => [row.file, row.model, row.module, row.placement, row.status, row.error && row.error.code, row.error && row.error.message].join(" ").toLowerCase();
  rows.forEach((row) => { row.text = text(row); });
  const isShown = (row) =>
    (!state.module || row.module === state.module) && (!state.status || row.status === state.status) &&
    state.filter.split(/\s+/).every((word) => row.text.includes(word));

  // ---- the table
  const columns = [
    { name: "model", title: "model", value: (row) => row.model },
    { name: "module", title: "attention", value: (row) => row.module },
    { name: "placement", title: "placement", value: (row) => row.placement },
    { name: "status", title: "status", value: (row) => row.status },
    { name: "sites", title: "modules", number: true, value: (row) => row.sites },
    { name: "params", title: "params", number: true, value: (row) => row.params, show: scaled },
    { name: "added_params", title: "+params", number: true, value: (row) => percent(row.delta_params, row.base_params), show: share },
    { name: "flops", title: "flops", number: true, value: (row) => row.flops, show: scaled },
    { name: "added_flops", title: "+flops", number: true, value: (row) => percent(row.delta_flops, row.base_flops), show: share },
    { name: "bytes", title: "file", number: true, value: (row) => row.bytes, show: storage },
    { name: "seconds", title: "time", number: true, value: (row) => row.seconds, show: seconds },
  ];
  const heads = columns.map((column) => {
    const head = make("th", undefined, { scope: "col", "data-column": column.name, ...(column.number ? { class: "number" } : {}) });
    const button = make("button", column.title, { type: "button" });
    button.addEventListener("click", () => {
      state.down = state.sort === column.name ? !state.down : Boolean(column.number);
      state.sort = column.name;
      renderTable();
    });
    head.append(button);
    return head;
  });
  const headRow = make("tr");
  headRow.append(...heads);
  byId("outputs").tHead.append(headRow);

  const compare = (column) => (one, other) => {
    const a = column.value(one), b = column.value(other);
    if (a === null || a === undefined || b === null || b === undefined) return (a ?? null) === (b ?? null) ? one.index - other.index : (a ?? null) === null ? 1 : -1;
    const order = column.number ? a - b : a.localeCompare(b, "en", { numeric: true });
    return (state.down ? -order : order) || one.index - other.index;
  };
  const cell = (row, column) => {
    const value = column.value(row);
    const missing = value === null || value === undefined;
    const element = make("td", missing ? "" : column.show ? column.show(value) : value, column.number ? { class: "number" } : {});
    if (column.name === "model" || column.name === "module") element.classList.add(column.name);
    if (column.name === "model") element.title = row.file;
    if (column.name === "status") {
      element.classList.add(row.status);
      if (row.error) element.append(make("span", `${row.error.code}: ${row.error.message}`, { class: "why" }));
      else if (row.discarded) element.append(make("span", "discarded", { class: "why" }));
    }
    return element;
  };
  const LIMIT = 300;
  const renderTable = () => {
    const column = columns.find((item) => item.name === state.sort);
    const shown = rows.filter(isShown).sort(compare(column));
    const visible = state.all ? shown : shown.slice(0, LIMIT);
    byId("outputs").tBodies[0].replaceChildren(...visible.map((row) => {
      const line = make("tr", undefined, { id: `row-${row.index}` });
      line.append(...columns.map((item) => cell(row, item)));
      return line;
    }));
    heads.forEach((head, place) => {
      const isSorted = columns[place].name === state.sort;
      head.setAttribute("aria-sort", isSorted ? (state.down ? "descending" : "ascending") : "none");
    });
    byId("count").textContent = shown.length === rows.length ? count(rows.length, "output") : `${shown.length.toLocaleString("en")} of ${count(rows.length, "output")}`;
    byId("more").hidden = visible.length === shown.length;
    byId("more").textContent = `Show all ${shown.length.toLocaleString("en")}`;
  };

  // ---- the picture
  const axes = {
    base_flops: { title: "flops of the model", value: (row) => row.base_flops, show: scaled },
    base_params: { title: "parameters of the model", value: (row) => row.base_params, show: scaled },
    seconds: { title: "seconds to convert", value: (row) => row.seconds, show: seconds },
    added_params: { title: "parameters added", value: (row) => percent(row.delta_params, row.base_params), show: share },
    added_flops: { title: "flops added", value: (row) => percent(row.delta_flops, row.base_flops), show: share },
    added_activations: { title: "activations added", value: (row) => percent(row.delta_activations, row.base_activations), show: share },
    peak_memory: { title: "peak memory of the process", value: (row) => row.peak_memory, show: storage },
  };
  const choices = { "x-axis": ["base_flops", "base_params"], "y-axis": ["added_params", "added_flops", "added_activations", "seconds", "peak_memory"] };
  for (const [id, names] of Object.entries(choices)) {
    for (const name of names) byId(id).append(make("option", axes[name].title, { value: name }));
    byId(id).addEventListener("change", () => renderPlot());
  }

  // Logarithmic, and what is zero stands on the axis; linear where something was saved.
  const linear = (values, from, to) => {
    const low = Math.min(...values), high = Math.max(...values, 0), margin = 0.05 * (high - low);
    const step = 10 ** Math.floor(Math.log10(high - low)), marks = [];
    for (let mark = Math.ceil(low / step); mark <= high / step; mark += 1) marks.push(Number((mark * step).toPrecision(6)));
    return { at: (value) => from + ((value - low + margin) / (high - low + 2 * margin)) * (to - from), marks };
  };
  const scale = (values, from, to) => {
    if (Math.min(...values) < 0) return linear(values, from, to);
    const positive = values.filter((value) => value > 0);
    let low = Math.log10(Math.min(...positive)), high = Math.log10(Math.max(...positive));
    if (!positive.length) { low = 0; high = 1; }
    const margin = Math.max(0.08 * (high - low), 0.12);
    low -= margin; high += margin;
    const at = (value) => (value > 0 ? from + ((Math.log10(value) - low) / (high - low)) * (to - from) : from);
    const marks = [];
    for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
      for (const digit of high - low < 1.2 ? [1, 2, 3, 5, 7] : high - low < 2.5 ? [1, 2, 5] : [1]) {
        const value = digit * 10 ** power;
        if (Math.log10(value) >= low && Math.log10(value) <= high) marks.push(value);
      }
    }
    return { at, marks };
  };
  const renderPlot = () => {
    const svg = byId("plot");
    const width = svg.clientWidth || 1000, height = svg.clientHeight || 400;
    const left = 58, right = width - 14, top = 34, bottom = height - 48;
    const x = axes[byId("x-axis").value], y = axes[byId("y-axis").value];
    const points = done.filter((row) => isShown(row) && !state.hidden.has(row.module) && x.value(row) > 0 && y.value(row) !== null);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.replaceChildren();
    if (!points.length) {
      svg.append(draw("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "Nothing to show"));
      return;
    }
    const across = scale(points.map(x.value), left, right), up = scale(points.map(y.value), bottom, top);
    for (const mark of across.marks) {
      svg.append(draw("line", { class: "rule", x1: across.at(mark), x2: across.at(mark), y1: top, y2: bottom }),
        draw("text", { x: across.at(mark), y: bottom + 17, "text-anchor": "middle" }, short(x.show(mark))));
    }
    for (const mark of up.marks) {
      svg.append(draw("line", { class: "rule", x1: left, x2: right, y1: up.at(mark), y2: up.at(mark) }),
        draw("text", { x: left - 8, y: up.at(mark) + 4, "text-anchor": "end" }, short(y.show(mark))));
    }
    svg.append(draw("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
    if (up.at(0) === bottom && points.some((row) => y.value(row) === 0)) svg.append(draw("text", { x: left - 8, y: bottom + 4, "text-anchor": "end" }, "0"));
    svg.append(draw("text", { class: "title", x: (left + right) / 2, y: height - 8, "text-anchor": "middle" }, x.title),
      draw("text", { class: "title", x: 0, y: 14 }, y.title));
    for (const row of points) svg.append(mark(row, across.at(x.value(row)), up.at(y.value(row))));
  };
  const mark = (row, x, y) => {
    const { fill, shape } = look(row.module);
    const element = draw("path", { class: "mark", d: shape(5), fill, transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`, tabindex: "0", "data-index": row.index });
    element.addEventListener("pointerenter", () => showTooltip(row, element));
    element.addEventListener("focus", () => showTooltip(row, element));
    element.addEventListener("pointerleave", hideTooltip);
    element.addEventListener("blur", hideTooltip);
    element.addEventListener("click", () => findRow(row));
    element.addEventListener("keydown", (event) => { if (event.key === "Enter") findRow(row); });
    return element;
  };
  const showTooltip = (row, element) => {
    const tip = byId("tooltip"), box = element.getBoundingClientRect();
    const lines = [`${row.module}, ${row.placement}, ${count(row.sites, "module")}`,
      `params ${scaled(row.base_params)} → ${scaled(row.params)}  (${share(percent(row.delta_params, row.base_params))})`,
      `flops ${scaled(row.base_flops)} → ${scaled(row.flops)}  (${share(percent(row.delta_flops, row.base_flops))})`,
      `activations ${share(percent(row.delta_activations, row.base_activations))}`, `${storage(row.bytes)}, ${seconds(row.seconds)}`];
    tip.replaceChildren(make("b", row.model), ...lines.map((line) => make("span", line)));
    tip.hidden = false;
    const x = box.right + 12 + tip.offsetWidth > innerWidth ? box.left - tip.offsetWidth - 12 : box.right + 12;
    tip.style.left = `${Math.max(8, x)}px`;
    tip.style.top = `${Math.max(8, Math.min(innerHeight - tip.offsetHeight - 8, box.top - tip.offsetHeight / 2))}px`;
  };
  const hideTooltip = () => { byId("tooltip").hidden = true; };
  const findRow = (row) => {
    if (!document.getElementById(`row-${row.index}`)) { state.all = true; renderTable(); }
    document.querySelectorAll(".found").forEach((element) => element.classList.remove("found"));
    const line = byId(`row-${row.index}`);
    line.classList.add("found");
    line.scrollIntoView({ block: "center", behavior: "smooth" });
  };

  // ---- legend, filters, failures
  for (const module of modules) {
    const { fill, shape } = look(module);
    const key = make("button", undefined, { class: "key", type: "button", "aria-pressed": "true" });
    const icon = draw("svg", { viewBox: "-7 -7 14 14", "aria-hidden": "true" });
    icon.append(draw("path", { d: shape(5), fill }));
    key.append(icon, make("span", module));
    key.addEventListener("click", () => {
      if (!state.hidden.delete(module)) state.hidden.add(module);
      key.setAttribute("aria-pressed", String(!state.hidden.has(module)));
      renderPlot();
    });
    byId("legend").append(key);
    byId("module").append(make("option", module, { value: module }));
  }
  const refresh = () => { renderTable(); renderPlot(); };
  byId("filter").addEventListener("input", (event) => { state.filter = event.target.value.trim().toLowerCase(); refresh(); });
  for (const id of ["module", "status"]) byId(id).addEventListener("change", (event) => { state[id] = event.target.value; refresh(); });
  byId("more").addEventListener("click", () => { state.all = true; renderTable(); });
  new ResizeObserver(renderPlot).observe(byId("plot-box"));

  const reasons = new Map();
  for (const row of failed) {
    const key = `${row.error.code} ${row.error.message}`;
    if (!reasons.has(key)) reasons.set(key, { ...row.error, outputs: [] });
    reasons.get(key).outputs.push(`${row.model} ${row.module}`);
  }
  byId("failures").hidden = !reasons.size;
  for (const reason of [...reasons.values()].sort((one, other) => other.outputs.length - one.outputs.length)) {
    const line = make("tr");
    const more = reason.outputs.length > 12 ? ` and ${reason.outputs.length - 12} more` : "";
    line.append(make("td", reason.code, { class: "failed" }), make("td", reason.outputs.length, { class: "number" }),
      make("td", reason.message), make("td", reason.hint), make("td", reason.outputs.slice(0, 12).join(", ") + more));
    byId("reasons").tBodies[0].append(line);
  }
  refresh();
})();
