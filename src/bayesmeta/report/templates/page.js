"use strict";
// Everything that moves on this page is computed here, from the nodes of the posterior: a finite mixture of normals.
// No library, no network.
(function () {
  var data = JSON.parse(document.getElementById("results").textContent);

  // Complementary error function, W. J. Cody, Math. Comp. 1969;23:631-637 (doi:10.1090/S0025-5718-1969-0247736-4): rational
  // approximations on three ranges, relative error below 1e-15.
  function polynomial(c, x) { var y = 0; for (var i = 0; i < c.length; i++) { y = y * x + c[i]; } return y; }
  function erfc(x) {
    var a = Math.abs(x), y;
    if (a <= 0.46875) {
      var z = a * a;
      var top = polynomial([1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2,
        3.20937758913846947e3], z);
      var low = polynomial([1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3], z);
      return 1 - x * top / low;
    }
    if (a <= 4) {
      top = polynomial([2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1,
        2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3], a);
      low = polynomial([1, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
        3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3], a);
      y = Math.exp(-a * a) * top / low;
    } else {
      z = 1 / (a * a);
      top = polynomial([1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1,
        1.60837851487422766e-2, 6.58749161529837803e-4], z);
      low = polynomial([1, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1, 6.05183413124413191e-2,
        2.33520497626869185e-3], z);
      y = Math.exp(-a * a) / a * (5.6418958354775628695e-1 - z * top / low);
    }
    return x < 0 ? 2 - y : y;
  }
  function phi(z) { return 0.5 * erfc(-z / Math.SQRT2); }

  // Probability of lying above x (or below): the mixture's sum, the cubic of a grid, or the share of draws.
  function probability(form, name, x, upper) {
    var below, i;
    if (form.form === "mixture") {
      var sd = name === "mu" ? form.s : form.t, total = 0;
      for (i = 0; i < form.w.length; i++) {
        var z = sd[i] > 0 ? (x - form.m[i]) / sd[i] : (x > form.m[i] ? Infinity : -Infinity);
        total += form.w[i] * phi(upper ? -z : z);
      }
      return total;
    }
    if (form.form === "draws") {
      var v = form[name], lo = 0, hi = v.length;
      while (lo < hi) { var mid = (lo + hi) >> 1; if (v[mid] < x) { lo = mid + 1; } else { hi = mid; } }
      below = lo / v.length;
      return upper ? 1 - below : below;
    }
    var g = form[name], n = g.x.length;
    if (x <= g.x[0]) { below = 0; } else if (x >= g.x[n - 1]) { below = 1; } else {
      i = Math.min(n - 2, Math.floor((x - g.x[0]) / (g.x[1] - g.x[0])));
      while (i > 0 && g.x[i] > x) { i--; }
      while (i < n - 2 && g.x[i + 1] <= x) { i++; }
      var h = g.x[i + 1] - g.x[i], u = (x - g.x[i]) / h, c = g.cdf, d = g.density;
      below = c[i] * (1 + 2 * u) * (1 - u) * (1 - u) + c[i + 1] * u * u * (3 - 2 * u) +
        h * (d[i] * u * (1 - u) * (1 - u) - d[i + 1] * u * u * (1 - u));
    }
    return upper ? 1 - below : below;
  }

  function quantile(form, name, p) {
    var lo, hi, i;
    if (form.form === "draws") {
      var v = form[name], at = p * (v.length - 1), k = Math.floor(at);
      return k + 1 < v.length ? v[k] + (at - k) * (v[k + 1] - v[k]) : v[k];
    }
    if (form.form === "grid") { lo = form[name].x[0]; hi = form[name].x[form[name].x.length - 1]; } else {
      var sd = name === "mu" ? form.s : form.t;
      lo = Infinity; hi = -Infinity;
      for (i = 0; i < form.w.length; i++) { lo = Math.min(lo, form.m[i] - 9 * sd[i]); hi = Math.max(hi, form.m[i] + 9 * sd[i]); }
    }
    for (i = 0; i < 200 && hi - lo > 1e-13 * Math.max(1, Math.abs(lo)); i++) {
      var mid = 0.5 * (lo + hi);
      if (probability(form, name, mid, false) < p) { lo = mid; } else { hi = mid; }
    }
    return 0.5 * (lo + hi);
  }

  // Share of settings beyond a distance of benefit: q = Phi((s mu - M) / tau) has P(q <= Phi(z)) = P(s mu <= M + tau z).
  function share(form, sign, distance, p) {
    if (form.form !== "mixture") { return NaN; }
    function below(z) {
      var total = 0;
      for (var i = 0; i < form.w.length; i++) {
        var tau = Math.sqrt(Math.max(0, form.t[i] * form.t[i] - form.s[i] * form.s[i]));
        total += form.w[i] * phi((distance + tau * z - sign * form.m[i]) / form.s[i]);
      }
      return total;
    }
    var lo = -40, hi = 40;
    if (below(lo) >= p) { return 0; }
    if (below(hi) < p) { return 1; }
    for (var i = 0; i < 200 && hi - lo > 1e-12; i++) { var mid = 0.5 * (lo + hi); if (below(mid) < p) { lo = mid; } else { hi = mid; } }
    return phi(0.5 * (lo + hi));
  }

  // Never 100 % or 0 %, which no analysis can give; the same words as the command line.
  function percent(p) {
    if (!(p >= 0 && p <= 1 + 1e-12)) { return "not defined"; }
    if (100 * p > 99.9) { return ">99.9 %"; }
    if (100 * p < 0.1) { return "<0.1 %"; }
    return (100 * p).toFixed(1) + " %";
  }

  // A threshold as people state it to distances of benefit and harm on the scale of the analysis.
  function distances(outcome, stated) {
    var sign = outcome.better === "higher" ? 1 : -1;
    if (outcome.scale === "log") {
      var ok = stated > 0 && sign * Math.log(stated) > 0;
      return ok ? { benefit: Math.abs(Math.log(stated)), worse: Math.abs(Math.log(stated)) } : null;
    }
    var t = outcome.scale === "fisher_z" ? Math.atanh(stated) : stated;
    return stated > 0 && isFinite(t) ? { benefit: t, worse: t } : null;
  }

  function chances(outcome, form, d) {
    var sign = outcome.better === "higher" ? 1 : -1, found = {};
    ["mu", "theta_new"].forEach(function (name) {
      var important = probability(form, name, sign * d.benefit, sign > 0);
      var harm = probability(form, name, -sign * d.worse, sign < 0);
      found[name] = { any: probability(form, name, 0, sign > 0), important: important, harm: harm,
        trivial: Math.max(0, 1 - important - harm) };
    });
    return found;
  }

  function back(outcome, x) { return outcome.scale === "log" ? Math.exp(x) : outcome.scale === "fisher_z" ? Math.tanh(x) : x; }
  // Numbers that stand together share their decimals; ratios have the digits that each needs. As the command line writes.
  function together(outcome, values) {
    if (outcome.scale === "log") {
      return values.map(function (x) {
        if (x >= 100) { return x.toFixed(0); }
        if (x >= 0.1) { return x.toFixed(2); }
        return x < 1e-4 ? "<0.0001" : String(Number(x.toPrecision(2)));
      });
    }
    var largest = Math.max.apply(null, values.map(Math.abs)), digits = 3;
    if (largest >= 0.1 || largest === 0) { digits = largest < 1 ? 3 : largest < 100 ? 2 : 1; }
    else { digits = Math.min(2 - Math.floor(Math.log10(largest)), 8); }
    return values.map(function (x) { var text = x.toFixed(digits); return parseFloat(text) === 0 ? text.replace("-", "") : text; });
  }
  // The lines of declared analyses hold their own numbers: what is put into a section goes past them.
  function put(root, name, text) {
    var inside = root.tagName === "TR" ? "" : ":not(tr[data-analysis] *)";
    root.querySelectorAll('[data-live="' + name + '"]' + inside).forEach(function (node) { node.textContent = text; });
  }

  var SHARES = [0.025, 0.5, 0.975];
  function update(section) {
    var outcome = data.outcomes[section.dataset.outcome], chosen = section.querySelector("select.analysis").value;
    var analysis = outcome.analyses.filter(function (item) { return item.id === chosen; })[0], form = analysis.posterior;
    var box = section.querySelector("input.threshold"), d = distances(outcome, parseFloat(box.value));
    box.setAttribute("aria-invalid", d ? "false" : "true");
    section.querySelector(".refused").hidden = !!d;
    if (!d) { return; }
    var effect = "", found = chances(outcome, form, d), sign = outcome.better === "higher" ? 1 : -1;
    ["mu", "theta_new"].forEach(function (name) {
      Object.keys(found[name]).forEach(function (what) { put(section, name + "." + what, percent(found[name][what])); });
      var numbers = [0.5, 0.025, 0.975].map(function (p) { return back(outcome, quantile(form, name, p)); });
      var texts = together(outcome, numbers);
      texts.forEach(function (text, i) { put(section, name + "." + ["median", "lower", "upper"][i], text); });
      if (name === "mu") { effect = texts[0] + " (" + texts[1] + " to " + texts[2] + ")"; }
    });
    section.querySelector(".stale").hidden = chosen === "main" && parseFloat(box.value) === parseFloat(box.defaultValue);
    var shares = SHARES.map(function (p) { return share(form, sign, d.benefit, p); });
    put(section, "share", isNaN(shares[1]) ? "not defined" : percent(shares[1]) + " (" + percent(shares[0]) + " to " + percent(shares[2]) + ")");
    put(section, "threshold", box.value);
    put(section, "analysis", analysis.label);
    draw(section, outcome, form, d);
    outcome.analyses.forEach(function (item) {
      var other = chances(outcome, item.posterior, d);
      var row = item.id && section.querySelector('tr[data-analysis="' + item.id + '"]');
      if (row) {
        put(row, "mu.important", percent(other.mu.important));
        put(row, "theta_new.important", percent(other.theta_new.important));
        put(row, "mu.harm", percent(other.mu.harm));
        row.classList.toggle("chosen", item.id === chosen);
      }
    });
    var line = document.querySelector('tr[data-summary="' + section.dataset.outcome + '"]');
    if (line) {
      put(line, "mu.important", percent(found.mu.important));
      put(line, "theta_new.important", percent(found.theta_new.important));
      put(line, "mu.harm", percent(found.mu.harm));
      put(line, "threshold", box.value);
      put(line, "effect", effect);
      put(line, "other", chosen === "main" ? "" : " [" + analysis.label + "]");
    }
  }

  // The curve of P(benefit beyond t), drawn as it is computed.
  function draw(section, outcome, form, d) {
    var svg = section.querySelector("svg.curve");
    if (!svg) { return; }
    var sign = outcome.better === "higher" ? 1 : -1, far = Math.max(2 * d.benefit, outcome.reach), n = 120, left = 42, top = 8, w = 500, h = 170;
    function path(name) {
      var text = "";
      for (var i = 0; i <= n; i++) {
        var t = -0.5 * far + 1.5 * far * i / n, p = probability(form, name, sign * t, sign > 0);
        text += (i ? "L" : "M") + (left + w * i / n).toFixed(1) + " " + (top + h * (1 - p)).toFixed(1);
      }
      return text;
    }
    function x(t) { return left + w * (t + 0.5 * far) / (1.5 * far); }
    svg.querySelector(".mean").setAttribute("d", path("mu"));
    svg.querySelector(".new").setAttribute("d", path("theta_new"));
    var mark = svg.querySelector(".mark");
    mark.setAttribute("x1", x(d.benefit)); mark.setAttribute("x2", x(d.benefit));
    var zero = svg.querySelector(".zero");
    zero.setAttribute("x1", x(0)); zero.setAttribute("x2", x(0));
    var ticks = svg.querySelector(".ticks"), shown = "";
    var parts = [-0.5, 0, 0.5, 1];
    together(outcome, parts.map(function (part) { return back(outcome, sign * part * far); })).forEach(function (text, i) {
      var anchor = i === 0 ? "start" : i === parts.length - 1 ? "end" : "middle";
      shown += '<text x="' + x(parts[i] * far).toFixed(1) + '" y="196" text-anchor="' + anchor + '">' + text + "</text>";
    });
    ticks.innerHTML = shown;
    var found = chances(outcome, form, d);
    svg.querySelector("desc").textContent = "Probability that the benefit exceeds each distance. At " +
      section.querySelector("input.threshold").value + ": " + percent(found.mu.important) + " for the mean effect and " +
      percent(found.theta_new.important) + " in a new setting.";
  }

  document.querySelectorAll("section.outcome[data-outcome]").forEach(function (section) {
    var box = section.querySelector("input.threshold"), slider = section.querySelector("input.slider");
    if (!box) { return; }
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
  window.bayesmeta = { probability: probability, quantile: quantile, phi: phi, percent: percent };
}());
