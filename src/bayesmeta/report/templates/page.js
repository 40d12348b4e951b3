"use strict";
// The page itself: what is shown when a threshold is moved, another analysis is chosen, or the panel judges.
(function () {
  var data = JSON.parse(document.getElementById("results").textContent), b = window.bayesmeta;
  b.follow(data.rules);
  function all(selector, root) { return Array.from((root || document).querySelectorAll(selector)); }
  function one(selector, root) { return (root || document).querySelector(selector); }
  // True minus signs, as the page is written.
  function minus(text) { return text.replace(/(^|[^\w.])-(?=[\d.])/g, "$1\u2212"); }
  function write(node, text) { var shown = minus(text); if (node && node.textContent !== shown) { node.textContent = shown; } }
  // The lines of declared analyses hold their own numbers: what is put into a section goes past them.
  function put(root, name, text) {
    var inside = root.tagName === "TR" ? "" : ":not(tr[data-analysis] *)";
    all('[data-live="' + name + '"]' + inside, root).forEach(function (node) { write(node, text); });
  }
  function rowOf(section, key, value) { return one("tr[data-" + key + '="' + value + '"]', section); }
  function fill(row, cells) {
    Object.keys(cells).forEach(function (name) { write(row && one('[data-col="' + name + '"]', row), cells[name]); });
  }

  var ENDS = [0.5, 0.025, 0.975], NAMES = ["median", "lower", "upper"];
  // Medians and intervals do not depend on the threshold: they are found once for every analysis.
  function endsOf(analysis) {
    if (!analysis.ends) {
      analysis.ends = {};
      ["mu", "theta_new"].forEach(function (name) {
        analysis.ends[name] = ENDS.map(function (p) { return b.quantile(analysis.posterior, name, p); });
      });
    }
    return analysis.ends;
  }
  function signOf(outcome) { return outcome.better === "higher" ? 1 : -1; }

  // What is chosen for each outcome: the number typed and its unit, both valid, and the analysis.
  var state = {};
  function stated(key, unit) {
    var outcome = data.outcomes[key];
    return unit === "points" ? outcome.points.stated : outcome.own;
  }
  function reset(key) {
    var unit = data.outcomes[key].points ? "points" : "own";
    state[key] = { value: stated(key, unit), unit: unit, analysis: "main" };
  }
  function distanceOf(key) {
    var s = state[key];
    return b.distances(data.outcomes[key], s.value, s.value !== stated(key, s.unit), s.unit);
  }
  function section(key) { return one('.outcome[data-outcome="' + key + '"]'); }
  // Take what was typed; what is no threshold leaves the last one.
  function take(key, text, unit) {
    var value = b.typed(text), outcome = data.outcomes[key];
    if (isNaN(value) || b.distances(outcome, value, value !== stated(key, unit), unit) === null) { return false; }
    state[key].value = value;
    state[key].unit = unit;
    return true;
  }

  function update(key) {
    var outcome = data.outcomes[key], s = state[key], part = section(key), d = distanceOf(key), tables = b.tables;
    var analysis = outcome.analyses.filter(function (item) { return item.id === s.analysis; })[0], form = analysis.posterior;
    var moved = s.unit === "points" || s.value !== stated(key, s.unit), words = s.unit === "points" ? d.texts[0] : b.general(s.value);
    var found = b.chances(outcome, form, d), ends = endsOf(analysis), natural = {}, texts = {}, short = {}, sign = signOf(outcome);
    var roots = all('[data-summary="' + key + '"], .outcome[data-outcome="' + key + '"]');
    ["mu", "theta_new"].forEach(function (name) {
      natural[name] = ends[name].map(function (x) { return b.back(outcome, x); });
      texts[name] = b.together(outcome, natural[name]);
      short[name] = b.byWidth(outcome, natural[name]);
    });
    var shares = [0.025, 0.5, 0.975].map(function (p) { return b.share(form, sign, d.benefit, p); }).map(b.percent);
    var other = s.analysis === "main" ? "" : " [" + analysis.label + "]";
    roots.forEach(function (root) {
      ["mu", "theta_new"].forEach(function (name) {
        Object.keys(found[name]).forEach(function (what) { put(root, name + "." + what, b.percent(found[name][what])); });
        (root === part ? texts : short)[name].forEach(function (text, i) { put(root, name + "." + NAMES[i], text); });
        outcome.yardsticks.forEach(function (item, i) {
          if (i) { put(root, name + ".size" + (i + 1), b.percent(b.beyond(outcome, form, name, item, 1))); }
        });
      });
      put(root, "share", shares[1] === "not defined" ? shares[1] : shares[1] + " (" + shares[0] + " to " + shares[2] + ")");
      put(root, "threshold", words);
      put(root, "analysis", analysis.label);
      put(root, "other", other);
      put(root, "answer", b.sentence(outcome, natural.mu, found, d));
      // tables that are not recomputed say so in their captions
      all("[data-stays]", root).forEach(function (node) {
        node.hidden = node.dataset.stays === "threshold" ? !moved : s.analysis === "main";
      });
    });
    panelRow(key, outcome, ends, d, words);
    levels(key, outcome, d);
    draw(part, outcome, analysis, d, found, words);
    declared(part, outcome, s.analysis, d);
    followed(part, outcome, d, moved, words, tables);
    one("[data-other]").hidden = Object.keys(state).every(function (name) { return state[name].analysis === "main"; });
  }

  // -- the panel's row ---------------------------------------------------------------------------------------------------

  function cutsOf(outcome, d, benefit) {
    var s = outcome.yardsticks, own = benefit ? d.benefit : d.worse;
    if (outcome.points) { return [own]; }
    return [own].concat(s.slice(1).map(function (item) { return centre(item, benefit); }));
  }
  function centre(item, benefit) {
    return (benefit ? item.b : item.h).reduce(function (sum, x, i) { return sum + x * item.w[i]; }, 0);
  }
  function certaintyOf(key) { return one('tr[data-summary="' + key + '"] .panel-choice').value; }
  function panelRow(key, outcome, ends, d, words) {
    var row = one('tr[data-summary="' + key + '"]'), s = state[key], sign = signOf(outcome);
    var estimate = sign * ends.mu[0], benefit = estimate >= 0, points = s.unit === "points";
    // with the unit changed the instrument's own difference no longer divides the sizes
    var cuts = points || !outcome.points ? cutsOf(outcome, d, benefit) : [benefit ? d.benefit : d.worse];
    put(row, "sentence", b.finding(data.words, outcome.speak, b.sizeOf(estimate, cuts), benefit, certaintyOf(key)));
    var unit = points ? words : outcome.scale === "log" ? outcome.measure + " " + words : words + (outcome.unit ? " " + outcome.unit : "");
    put(row, "at", (outcome.scale === "log" ? "beyond " : "\u2265 ") + unit);
    put(row, "at-harm", outcome.scale === "log" ? "beyond " + outcome.measure + " " + d.texts[1] : "\u2265 " + (d.worse === d.benefit || points ? unit : d.texts[1] + (outcome.unit ? " " + outcome.unit : "")));
    put(row, "explained", reached(outcome, estimate, d, unit));
    var svg = one("svg.row", row), axis = outcome.picture;
    if (svg && axis) {
      function place(x) { return Math.max(0, Math.min(320, 320 * (x - axis[0]) / (axis[1] - axis[0]))).toFixed(1); }
      [["good", d.benefit], ["bad", -d.worse]].forEach(function (pair) {
        var mark = one('.mark.first[data-side="' + pair[0] + '"]', svg);
        if (mark) { mark.setAttribute("x1", place(pair[1])); mark.setAttribute("x2", place(pair[1])); }
      });
      svg.classList.toggle("stale", s.analysis !== "main");
    }
  }
  // Which thresholds the estimate reaches and which not, where that differs; as `beyond_words` of the library says it.
  function reached(outcome, estimate, d, unit) {
    var items = outcome.yardsticks.map(function (item, i) {
      return { at: i ? centre(item, true) : d.benefit, cut: i ? centre(item, estimate >= 0) : estimate >= 0 ? d.benefit : d.worse,
        words: i || state[outcome.key].value === stated(outcome.key, state[outcome.key].unit) && (state[outcome.key].unit === "points") === !!outcome.points ? item.said : unit };
    }).sort(function (x, y) { return x.at - y.at; });
    function said(yes) { return items.filter(function (x) { return (Math.abs(estimate) >= x.cut) === yes; }).map(function (x) { return x.words; }); }
    var yes = said(true), no = said(false);
    return yes.length && no.length ? "Reaches " + yes.join(" and ") + ", not " + no.join(" or ") + "." : "";
  }
  // Chances of the levels of moderators, and the mark in their small forest plot.
  function levels(key, outcome, d) {
    var place = one('article[data-whom="' + key + '"]'), nodes = d.nodes || { b: [d.benefit], h: [d.worse], w: [1] };
    if (!place) { return; }
    all("[data-level]", place).forEach(function (cell) {
      var item = outcome.analyses.filter(function (entry) { return entry.id === cell.dataset.level; })[0];
      if (item) { write(cell, b.percent(b.beyond(outcome, item.posterior, "mu", nodes, 1))); }
    });
    var low = parseFloat(place.dataset.low), high = parseFloat(place.dataset.high);
    var x = Math.max(0, Math.min(220, 220 * (d.benefit - low) / (high - low))).toFixed(1);
    all("[data-lane]", place).forEach(function (line) { line.setAttribute("x1", x); line.setAttribute("x2", x); });
  }

  // -- the statistician's tables -----------------------------------------------------------------------------------------

  // Lines of declared analyses, those too that cannot be chosen because they are of another model.
  function declared(part, outcome, chosen, d) {
    outcome.analyses.concat(outcome.others).forEach(function (item) {
      var row = rowOf(part, "analysis", item.id);
      if (!row) { return; }
      var found = b.chances(outcome, item.posterior, d);
      put(row, "mu.important", b.percent(found.mu.important));
      put(row, "theta_new.important", b.percent(found.theta_new.important));
      put(row, "mu.harm", b.percent(found.mu.harm));
      row.classList.toggle("chosen", item.id === chosen);
    });
  }

  // Tables of the analysis as stated, whichever is chosen above.
  function followed(part, outcome, d, moved, typed, t) {
    var told = outcome.tables, main = outcome.analyses[0], ends = endsOf(main);
    function row(name, i) { return one('[data-table="' + name + '"] tr[data-row="' + i + '"]', part); }
    if (told.grade) {
      var grade = t.grade(outcome, d, ends, b.chances(outcome, main.posterior, d));
      Object.keys(grade).forEach(function (item) { fill(rowOf(part, "grade", item), grade[item]); });
      support(outcome, grade);
    }
    if (told.inconsistency) {
      var lines = all('[data-table="inconsistency"] tbody tr', part), found = t.inconsistency(outcome, d, ends);
      fill(lines[0], found.first);
      fill(lines[0], { threshold: told.inconsistency.name + (moved ? ", moved to " + typed : "") });
      if (found.last) { fill(lines[lines.length - 1], found.last); }
    }
    if (told.multiverse) { lineUp(one('[data-table="multiverse"] tbody', part), t.multiverse(outcome, d)); }
    if (told.borrowing) { t.borrowing(outcome, d).forEach(function (cells, i) { fill(row("borrowing", i), cells); }); }
    ["priors", "concordance"].forEach(function (name) {
      if (told[name]) { t.refits(outcome, told[name], d).forEach(function (cells, i) { fill(row(name, i), cells); }); }
    });
  }
  // The short lines in the panel's matrix, as `domain_support` shortens them.
  function support(outcome, grade) {
    var cells = { imprecision: [], inconsistency: [] };
    function value(item) { return grade[item] ? grade[item].value : ""; }
    var size = value("optimal information size"), sides = value("where estimates lie").split(", ").map(parseFloat);
    cells.imprecision.push("interval crosses " + value("thresholds crossed by the 95 % credible interval").split(" (")[0]);
    if (size) { cells.imprecision.push(size.split(" participants")[0] + " people, " + size.slice(size.lastIndexOf("(") + 1).replace(")", "") + " the information size"); }
    cells.inconsistency.push("trials: " + sides[0] + " important, " + sides[1] + " between, " + sides[2] + " harm");
    if (outcome.random) {
      cells.inconsistency.push("\u03c4 " + value("tau in units of the threshold").split(" (")[0] + " of the threshold");
      cells.inconsistency.push("new study's interval crosses " + value("thresholds crossed by the prediction interval"));
    }
    Object.keys(cells).forEach(function (domain) {
      write(one('tr[data-judged="' + outcome.key + '"] [data-support="' + domain + '"]'), cells[domain].join("; "));
    });
  }

  // A table whose lines come and go: the second column is a word, the others numbers.
  function lineUp(body, lines) {
    var text = lines.join("|");
    if (!body || body.dataset.lines === text) { return; }
    body.dataset.lines = text;
    body.textContent = "";
    lines.forEach(function (cells) {
      var row = body.insertRow();
      cells.forEach(function (cell, i) {
        var node = row.appendChild(document.createElement(i === 0 ? "th" : "td"));
        if (i === 0) { node.scope = "row"; }
        if (i === 1) { node.className = "text"; }
        node.textContent = minus(cell);
      });
    });
  }

  // The curve of P(benefit beyond t), drawn as it is computed, once its details are open.
  function draw(part, outcome, analysis, d, found, words) {
    var svg = one("svg.curve", part);
    if (!svg || !part.open) { return; }
    var sign = signOf(outcome), far = Math.max(2 * d.benefit, outcome.reach), n = 120, left = 42, top = 8, w = 500, h = 170;
    function path(name) {
      var text = "";
      for (var i = 0; i <= n; i++) {
        var t = -0.5 * far + 1.5 * far * i / n, p = b.probability(analysis.posterior, name, sign * t, sign > 0);
        text += (i ? "L" : "M") + (left + w * i / n).toFixed(1) + " " + (top + h * (1 - p)).toFixed(1);
      }
      return text;
    }
    function x(t) { return left + w * (t + 0.5 * far) / (1.5 * far); }
    // the curve itself moves only with the analysis and the end of its axis
    if (svg.dataset.drawn !== analysis.id + " " + far) {
      svg.dataset.drawn = analysis.id + " " + far;
      one(".mean", svg).setAttribute("d", path("mu"));
      one(".new", svg).setAttribute("d", path("theta_new"));
      var zero = one(".zero", svg);
      zero.setAttribute("x1", x(0)); zero.setAttribute("x2", x(0));
      var shown = "", parts = [-0.5, 0, 0.5, 1];
      b.together(outcome, parts.map(function (share) { return b.back(outcome, sign * share * far); })).forEach(function (text, i) {
        var anchor = i === 0 ? "start" : i === parts.length - 1 ? "end" : "middle";
        shown += '<text x="' + x(parts[i] * far).toFixed(1) + '" y="196" text-anchor="' + anchor + '">' + minus(text) + "</text>";
      });
      one(".ticks", svg).innerHTML = shown;
    }
    var mark = one(".mark", svg);
    mark.setAttribute("x1", x(d.benefit)); mark.setAttribute("x2", x(d.benefit));
    one("desc", svg).textContent = "Probability that the benefit exceeds each distance. At " +
      words + ": " + b.percent(found.mu.important) + " for the mean effect and " +
      b.percent(found.theta_new.important) + " in a new study.";
  }

  // -- controls ----------------------------------------------------------------------------------------------------------

  function refuse(box, message, bad) {
    box.setAttribute("aria-invalid", String(bad));
    if (message) { message.hidden = !bad; }
  }
  // What the controls show is what is in force, but for the one that is being typed in.
  function show(key, except) {
    var part = section(key), s = state[key], box = one("input.threshold", part), slider = one("input.slider", part), unit = one("select.unit", part);
    if (unit) { unit.value = s.unit; }
    if (box !== except) { box.value = b.general(s.value); refuse(box, one(".refused", part), false); }
    if (slider !== except) { range(slider, data.outcomes[key], s); }
  }
  function range(slider, outcome, s) {
    var ends = s.unit === "points" ? outcome.points.slider : outcome.slider;
    slider.min = ends[0]; slider.max = ends[1]; slider.step = s.unit === "points" ? ends[2] : ends[2]; slider.value = s.value;
  }
  function showKind(control, except) {
    var keys = control.dataset.keys.split(" "), first = state[keys[0]], box = one(".kind-threshold", control), slider = one(".kind-slider", control);
    var unit = data.outcomes[keys[0]].points ? "points" : "own";
    var alike = keys.every(function (key) { return state[key].unit === unit && state[key].value === first.value; });
    if (box !== except) { box.value = alike ? b.general(first.value) : ""; box.placeholder = alike ? "" : "several"; refuse(box, one(".refused", control), false); }
    if (slider !== except && alike) { slider.value = first.value; }
  }
  function showKinds(except) { all(".control").forEach(function (control) { showKind(control, except); }); }

  all(".control").forEach(function (control) {
    var keys = control.dataset.keys.split(" ").filter(function (key) { return key in data.outcomes; });
    var box = one(".kind-threshold", control), slider = one(".kind-slider", control);
    function move(source) {
      var unit = data.outcomes[keys[0]].points ? "points" : "own";
      var fine = keys.map(function (key) { return take(key, source.value, unit); }).every(Boolean);
      refuse(box, one(".refused", control), !fine);
      if (!fine) { return; }
      showKind(control, source);
      keys.forEach(function (key) { show(key); update(key); });
    }
    box.addEventListener("input", function () { move(box); });
    slider.addEventListener("input", function () { move(slider); });
  });
  var kind = one("#kind");
  if (kind) {
    kind.addEventListener("change", function () {
      all(".control").forEach(function (control) { control.classList.toggle("chosen", control.dataset.kind === kind.value); });
    });
  }
  var restate = one("#as-stated");
  if (restate) {
    restate.addEventListener("click", function () {
      Object.keys(data.outcomes).forEach(function (key) { resetAll(key); });
      showKinds();
    });
  }
  function resetAll(key) { reset(key); one("select.analysis", section(key)).selectedIndex = 0; show(key); update(key); }

  Object.keys(data.outcomes).forEach(function (key) {
    var outcome = data.outcomes[key], part = section(key);
    outcome.key = key;
    outcome.analyses.concat(outcome.others).forEach(function (item) { item.posterior = b.unpack(item.posterior); });
    outcome.yardsticks.forEach(function (item) {
      ["b", "h", "w"].forEach(function (name) { if (typeof item[name] === "string") { item[name] = b.floats(item[name]); } });
    });
    b.tables.prepare(outcome);
    reset(key);
    var box = one("input.threshold", part), slider = one("input.slider", part), unit = one("select.unit", part);
    function unitNow() { return unit ? unit.value : "own"; }
    function move(source) {
      var fine = take(key, source.value, unitNow());
      refuse(box, one(".refused", part), !fine);
      if (fine) { show(key, source); showKinds(); update(key); }
    }
    box.addEventListener("input", function () { move(box); });
    slider.addEventListener("input", function () { move(slider); });
    if (unit) {
      unit.addEventListener("change", function () {
        state[key].unit = unit.value; state[key].value = stated(key, unit.value);
        show(key); showKinds(); update(key);
      });
    }
    one("select.analysis", part).addEventListener("change", function (event) {
      state[key].analysis = event.target.value;
      // an invalid number leaves the last valid one, also for an analysis that is chosen meanwhile
      update(key);
    });
    one("button.reset", part).addEventListener("click", function () { resetAll(key); showKinds(); });
    part.addEventListener("toggle", function () { if (part.open) { update(key); } });
    show(key);
    update(key);
  });
  showKinds();
  all(".live, .buttons").forEach(function (node) { node.hidden = false; });

  // -- figures: compressed inside the page, drawn when they come into sight ------------------------------------------------

  var packed = JSON.parse(document.getElementById("pictures").textContent);
  function drawn(figure) {
    var text = packed[figure.dataset.picture];
    if (!text || figure.dataset.drawn || typeof DecompressionStream === "undefined") { return Promise.resolve(); }
    figure.dataset.drawn = "yes";
    var raw = atob(text), bytes = new Uint8Array(raw.length);
    for (var i = 0; i < raw.length; i++) { bytes[i] = raw.charCodeAt(i); }
    var stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text().then(function (markup) { one(".sheet", figure).innerHTML = markup; });
  }
  all("details").forEach(function (node) {
    node.addEventListener("toggle", function () {
      if (node.open) { all("figure[data-picture]", node).forEach(function (figure) { if (!figure.closest("details:not([open])")) { drawn(figure); } }); }
    });
  });
  // a link to what stands inside something closed opens it
  function reveal() {
    var target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) { return; }
    for (var node = target; node; node = node.parentElement) { if (node.tagName === "DETAILS") { node.open = true; } }
    target.scrollIntoView();
  }
  window.addEventListener("hashchange", reveal);
  reveal();

  // -- printing -------------------------------------------------------------------------------------------------------------

  one("#print-panel").addEventListener("click", function () { window.print(); });
  one("#print-all").addEventListener("click", function () {
    var closed = all("details:not([open])");
    closed.forEach(function (node) { node.open = true; });
    document.body.classList.add("print-all");
    Promise.all(all("figure[data-picture]").map(drawn)).then(function () {
      window.print();
      document.body.classList.remove("print-all");
      closed.forEach(function (node) { node.open = false; });
    });
  });

  // -- the panel's judgements: they stay in this page and in the file that is saved; nothing is sent anywhere --------------

  function choices(name) { return all("select.panel-choice").filter(function (node) { return node.dataset.panel === name; }); }
  function judged(name, value) {
    choices(name).forEach(function (node) { node.value = value; });
    var key = name.split("|")[0];
    if (name.split("|")[1] !== "certainty") { return; }
    write(one('[data-symbol="' + key + '"]'), data.symbols[value] || "");
    if (key in data.outcomes) { update(key); }
  }
  all("select.panel-choice").forEach(function (node) {
    node.addEventListener("change", function () { judged(node.dataset.panel, node.value); });
  });
  function judgements() {
    var found = { schema_version: 1, panel: "", date: new Date().toISOString().slice(0, 10), data: data.data, outcomes: {} };
    function of(key) { return found.outcomes[key] = found.outcomes[key] || { domains: {}, reasons: {} }; }
    all("select.panel-choice").forEach(function (node) {
      var parts = node.dataset.panel.split("|");
      if (!node.value) { return; }
      if (parts[1] === "certainty") { of(parts[0]).certainty = node.value; } else { of(parts[0]).domains[parts[1]] = node.value; }
    });
    all("input[data-why]").forEach(function (node) { if (node.value) { of(node.dataset.why).reasons.certainty = node.value; } });
    Object.keys(found.outcomes).forEach(function (key) {
      if (key in state) { found.outcomes[key].threshold = one('tr[data-summary="' + key + '"] [data-live="at"]').textContent.replace(/^\D*/, ""); }
    });
    return found;
  }
  var save = one("#save-judgements"), load = one("#load-judgements");
  save.addEventListener("click", function () {
    var link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(judgements(), null, 2) + "\n"], { type: "application/json" }));
    link.download = "judgements.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  load.addEventListener("change", function () {
    var file = load.files[0];
    if (!file) { return; }
    file.text().then(function (text) {
      var told = JSON.parse(text).outcomes || {}, known = 0, unknown = [];
      Object.keys(told).forEach(function (key) {
        var item = told[key], words = Object.assign({}, item.domains);
        if (!choices(key + "|certainty").length) { unknown.push(key); return; }
        known += 1;
        words.certainty = item.certainty || "";
        Object.keys(words).forEach(function (name) { judged(key + "|" + name, words[name]); });
        var why = one('input[data-why="' + key + '"]');
        if (why && item.reasons) { why.value = item.reasons.certainty || ""; }
      });
      write(one("#loaded"), known + " outcomes read" + (unknown.length ? "; not in this report: " + unknown.join(", ") : ""));
    }).catch(function () { write(one("#loaded"), "This is no file of judgements."); });
  });
}());
