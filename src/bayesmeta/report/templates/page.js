"use strict";
// The page itself: what is shown when a threshold is moved or another analysis is chosen.
(function () {
  var data = JSON.parse(document.getElementById("results").textContent), b = window.bayesmeta;
  function write(node, text) { if (node && node.textContent !== text) { node.textContent = text; } }
  // The lines of declared analyses hold their own numbers: what is put into a section goes past them.
  function put(root, name, text) {
    var inside = root.tagName === "TR" ? "" : ":not(tr[data-analysis] *)";
    root.querySelectorAll('[data-live="' + name + '"]' + inside).forEach(function (node) { write(node, text); });
  }
  function rowOf(section, key, value) { return section.querySelector("tr[data-" + key + '="' + value + '"]'); }
  function fill(row, cells) {
    Object.keys(cells).forEach(function (name) { write(row && row.querySelector('[data-col="' + name + '"]'), cells[name]); });
  }

  var ENDS = [0.5, 0.025, 0.975];
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

  function update(section) {
    var key = section.dataset.outcome, outcome = data.outcomes[key], chosen = section.querySelector("select.analysis").value;
    var analysis = outcome.analyses.filter(function (item) { return item.id === chosen; })[0], form = analysis.posterior;
    var box = section.querySelector("input.threshold"), stated = parseFloat(box.defaultValue);
    function at(typed) { return b.distances(outcome, typed, parseFloat(typed) !== stated); }
    var valid = at(box.value) !== null;
    box.setAttribute("aria-invalid", String(!valid));
    section.querySelector(".refused").hidden = valid;
    // an invalid threshold leaves the last valid one, also for an analysis that is chosen meanwhile
    if (valid) { section.dataset.typed = box.value; }
    var typed = section.dataset.typed || box.defaultValue, d = at(typed), moved = parseFloat(typed) !== stated, words = b.general(parseFloat(typed));
    var found = b.chances(outcome, form, d), ends = endsOf(analysis), natural = {}, texts = {};
    ["mu", "theta_new"].forEach(function (name) {
      natural[name] = ends[name].map(function (x) { return b.back(outcome, x); });
      texts[name] = b.together(outcome, natural[name]);
      Object.keys(found[name]).forEach(function (what) { put(section, name + "." + what, b.percent(found[name][what])); });
      texts[name].forEach(function (text, i) { put(section, name + "." + ["median", "lower", "upper"][i], text); });
    });
    var shares = [0.025, 0.5, 0.975].map(function (p) { return b.share(form, outcome.better === "higher" ? 1 : -1, d.benefit, p); });
    shares = shares.map(b.percent);
    put(section, "share", shares[1] === "not defined" ? shares[1] : shares[1] + " (" + shares[0] + " to " + shares[2] + ")");
    put(section, "threshold", words);
    put(section, "analysis", analysis.label);
    draw(section, outcome, analysis, d, found, words);
    declared(section, outcome, chosen, d);
    tables(section, outcome, d, moved, words);
    var answer = b.sentence(outcome, natural.mu, found, d), other = chosen === "main" ? "" : " [" + analysis.label + "]";
    var roots = document.querySelectorAll('[data-summary="' + key + '"], [data-sentence="' + key + '"], [data-outcome="' + key + '"]');
    roots.forEach(function (root) {
      put(root, "sentence", answer);
      put(root, "other", other);
      ["mu.important", "theta_new.important", "mu.harm"].forEach(function (name) {
        put(root, name, b.percent(found[name.split(".")[0]][name.split(".")[1]]));
      });
      put(root, "threshold", words);
      texts.mu.forEach(function (text, i) { put(root, "mu." + ["median", "lower", "upper"][i], text); });
    });
    // tables that are not recomputed say so in their captions
    section.querySelectorAll("[data-stays]").forEach(function (node) {
      node.hidden = node.dataset.stays === "threshold" ? !moved : chosen === "main";
    });
    var selects = Array.from(document.querySelectorAll("select.analysis"));
    document.querySelector("[data-other]").hidden = selects.every(function (node) { return node.value === "main"; });
  }

  // Lines of declared analyses, those too that cannot be chosen because they are of another model.
  function declared(section, outcome, chosen, d) {
    outcome.analyses.concat(outcome.others).forEach(function (item) {
      var row = rowOf(section, "analysis", item.id);
      if (!row) { return; }
      var found = b.chances(outcome, item.posterior, d);
      put(row, "mu.important", b.percent(found.mu.important));
      put(row, "theta_new.important", b.percent(found.theta_new.important));
      put(row, "mu.harm", b.percent(found.mu.harm));
      row.classList.toggle("chosen", item.id === chosen);
    });
  }

  // Tables of the analysis as stated, whichever is chosen above.
  function tables(section, outcome, d, moved, typed) {
    var told = outcome.tables, main = outcome.analyses[0], ends = endsOf(main), t = b.tables;
    function rows(name) { return section.querySelectorAll('[data-table="' + name + '"] tbody tr'); }
    if (told.grade) {
      var grade = t.grade(outcome, d, ends, b.chances(outcome, main.posterior, d));
      Object.keys(grade).forEach(function (item) { fill(rowOf(section, "grade", item), grade[item]); });
    }
    if (told.inconsistency) {
      var lines = rows("inconsistency"), found = t.inconsistency(outcome, d, ends);
      fill(lines[0], found.first);
      fill(lines[0], { threshold: told.inconsistency.name + (moved ? ", moved to " + typed : "") });
      if (found.last) { fill(lines[lines.length - 1], found.last); }
    }
    if (told.multiverse) { lineUp(section.querySelector('[data-table="multiverse"] tbody'), t.multiverse(outcome, d)); }
    if (told.borrowing) {
      var weights = rows("borrowing");
      t.borrowing(outcome, d).forEach(function (cells, i) { fill(weights[i], cells); });
    }
    ["priors", "concordance"].forEach(function (name) {
      var place = told[name] ? rows(name) : [];
      if (told[name]) { t.refits(outcome, told[name], d).forEach(function (cells, i) { fill(place[i], cells); }); }
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
        node.textContent = cell;
      });
    });
  }

  // The curve of P(benefit beyond t), drawn as it is computed.
  function draw(section, outcome, analysis, d, found, words) {
    var svg = section.querySelector("svg.curve");
    if (!svg) { return; }
    var sign = outcome.better === "higher" ? 1 : -1, far = Math.max(2 * d.benefit, outcome.reach), n = 120, left = 42, top = 8, w = 500, h = 170;
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
      svg.querySelector(".mean").setAttribute("d", path("mu"));
      svg.querySelector(".new").setAttribute("d", path("theta_new"));
      var zero = svg.querySelector(".zero");
      zero.setAttribute("x1", x(0)); zero.setAttribute("x2", x(0));
      var ticks = svg.querySelector(".ticks"), shown = "";
      var parts = [-0.5, 0, 0.5, 1];
      b.together(outcome, parts.map(function (part) { return b.back(outcome, sign * part * far); })).forEach(function (text, i) {
        var anchor = i === 0 ? "start" : i === parts.length - 1 ? "end" : "middle";
        shown += '<text x="' + x(parts[i] * far).toFixed(1) + '" y="196" text-anchor="' + anchor + '">' + text + "</text>";
      });
      ticks.innerHTML = shown;
    }
    var mark = svg.querySelector(".mark");
    mark.setAttribute("x1", x(d.benefit)); mark.setAttribute("x2", x(d.benefit));
    svg.querySelector("desc").textContent = "Probability that the benefit exceeds each distance. At " +
      words + ": " + b.percent(found.mu.important) + " for the mean effect and " +
      b.percent(found.theta_new.important) + " in a new study.";
  }

  document.querySelectorAll("section.outcome[data-outcome]").forEach(function (section) {
    var box = section.querySelector("input.threshold"), slider = section.querySelector("input.slider");
    if (!box) { return; }
    b.tables.prepare(data.outcomes[section.dataset.outcome]);
    slider.addEventListener("input", function () { box.value = slider.value; update(section); });
    box.addEventListener("input", function () { if (isFinite(parseFloat(box.value))) { slider.value = box.value; } update(section); });
    section.querySelector("select.analysis").addEventListener("change", function () { update(section); });
    section.querySelector("button.reset").addEventListener("click", function () {
      box.value = box.defaultValue; slider.value = box.defaultValue; section.querySelector("select.analysis").selectedIndex = 0; update(section);
    });
    section.querySelectorAll(".live").forEach(function (node) { node.hidden = false; });
    update(section);
  });

  // What the panel writes stays in this browser's page: it can be saved as a file, and is never sent anywhere.
  var save = document.getElementById("save-judgements");
  if (save) {
    save.hidden = false;
    save.addEventListener("click", function () {
      var found = {};
      document.querySelectorAll("[data-panel]").forEach(function (node) { if (node.value) { found[node.dataset.panel] = node.value; } });
      var link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([JSON.stringify(found, null, 2)], { type: "application/json" }));
      link.download = "panel-judgements.json";
      link.click();
      URL.revokeObjectURL(link.href);
    });
  }
}());
