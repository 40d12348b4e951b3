"use strict";
// Everything that moves on this page is computed here, from the nodes of the posterior: a finite mixture of normals.
// No library, no network. This part is arithmetic and words, and touches nothing of the page.
window.bayesmeta = (function () {
  // Where words and digits change: the library's own numbers, from the data of the page.
  var rules = {};
  function follow(stated) { Object.keys(stated).forEach(function (name) { rules[name] = stated[name]; }); }

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

  // Student's t, whole degrees of freedom: the finite sums of Abramowitz and Stegun 26.7.3 and 26.7.4.
  function studentBelow(x, df) {
    var angle = Math.atan(x / Math.sqrt(df)), c = Math.cos(angle), s = Math.sin(angle), odd = df % 2 === 1, term = odd ? c : 1, sum = 0;
    for (var j = odd ? 3 : 2; j <= df; j += 2) { sum += term; term *= c * c * (j - 1) / j; }
    return 0.5 + 0.5 * (odd ? 2 / Math.PI * (angle + s * sum) : s * sum);
  }

  // Single-precision numbers, as the page carries those of its tables.
  function floats(text) {
    var raw = atob(text), view = new DataView(new ArrayBuffer(raw.length)), found = [], i;
    for (i = 0; i < raw.length; i++) { view.setUint8(i, raw.charCodeAt(i)); }
    for (i = 0; i < raw.length; i += 4) { found.push(view.getFloat32(i, true)); }
    return found;
  }
  // A packed mixture: weights, means about a centre, SDs of the mean effect and of a new study.
  function unpack(form) {
    if (form.representation !== "packed") { return form; }
    var all = floats(form.nodes), n = all.length / 4;
    return { representation: "mixture", w: all.slice(0, n), m: all.slice(n, 2 * n).map(function (x) { return form.centre + x; }),
      s: all.slice(2 * n, 3 * n), t: all.slice(3 * n) };
  }

  // Probability of lying above x (or below): the mixture's sum, the cubic of a grid, or the share of draws.
  function probability(form, name, x, upper) {
    var below, i;
    if (form.representation === "mixture") {
      var sd = name === "mu" ? form.s : form.t, total = 0;
      for (i = 0; i < form.w.length; i++) {
        var z = sd[i] > 0 ? (x - form.m[i]) / sd[i] : (x > form.m[i] ? Infinity : -Infinity);
        total += form.w[i] * phi(upper ? -z : z);
      }
      return total;
    }
    if (form.representation === "draws") {
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
    if (form.representation === "draws") {
      var v = form[name], at = p * (v.length - 1), k = Math.floor(at);
      return k + 1 < v.length ? v[k] + (at - k) * (v[k + 1] - v[k]) : v[k];
    }
    if (form.representation === "grid") { lo = form[name].x[0]; hi = form[name].x[form[name].x.length - 1]; } else {
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

  // Share of true effects beyond a distance of benefit: q = Phi((s mu - M) / tau) has P(q <= Phi(z)) = P(s mu <= M + tau z).
  function share(form, sign, distance, p) {
    if (form.representation !== "mixture") { return NaN; }
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

  // Decimals as the command line writes them: halves go to the even digit, where toFixed goes up. Only a number that is a
  // whole multiple of 2^-(digits + 1) can lie half way.
  function fixed(x, digits) {
    var a = Math.abs(x), text = a.toFixed(digits), halves = a * Math.pow(2, digits + 1);
    var tie = halves === Math.floor(halves) && a.toFixed(digits + 1).slice(-1) === "5";
    if (tie && Number(text.slice(-1)) % 2 === 1) { text = (Number(text) - Math.pow(10, -digits)).toFixed(digits); }
    return x < 0 && Number(text) !== 0 ? "-" + text : text;
  }
  // Six digits at most, as few as there are: how a stated threshold is written back.
  function general(x) {
    var parts = x.toExponential(5).split("e"), power = Number(parts[1]);
    function short(text) { return text.indexOf(".") < 0 ? text : text.replace(/0+$/, "").replace(/\.$/, ""); }
    if (power >= -4 && power < 6) { return short(x.toFixed(5 - power)); }
    return short(parts[0]) + "e" + (power < 0 ? "-" : "+") + (Math.abs(power) < 10 ? "0" : "") + Math.abs(power);
  }
  // Decimals of numbers that stand together: three below one, two below a hundred, one beyond.
  function decimals(values) {
    var largest = Math.max.apply(null, values.map(Math.abs));
    if (largest >= rules.digits.small || largest === 0) { return largest < 1 ? 3 : largest < rules.digits.wide ? 2 : 1; }
    return Math.min(2 - Math.floor(Math.log10(largest)), 8);
  }
  function number(x) { return isFinite(x) ? fixed(x, decimals([x])) : "not defined"; }

  // Never 100 % or 0 %, which no analysis can give; the same words as the command line.
  function percent(p) {
    if (!(p >= 0 && p <= 1 + 1e-12)) { return "not defined"; }
    var least = rules.digits.least_percent;
    if (100 * p > 100 - least) { return ">" + fixed(100 - least, 1) + " %"; }
    if (100 * p < least) { return "<" + fixed(least, 1) + " %"; }
    return fixed(100 * p, 1) + " %";
  }

  // A number as people type it: with a decimal point or a decimal comma, never both.
  function typed(text) {
    var plain = String(text).trim().replace(",", ".");
    return /^\d*\.?\d+$|^\d+\.$/.test(plain) ? parseFloat(plain) : NaN;
  }

  // A threshold as people state it to distances of benefit and harm on the scale of the analysis, and its words. One that
  // was moved counts as much in the other direction, as on the command line; the stated one may differ between them.
  // One in points of an instrument is a distribution of distances where the SD of the instrument is one.
  function distances(outcome, value, moved, unit) {
    if (unit === "points") {
      if (!(value > 0)) { return null; }
      var y = outcome.yardsticks[0], size = value / outcome.points.stated;
      function scaled(list) { return list.map(function (x) { return x * size; }); }
      function centre(list) { return list.reduce(function (sum, x, i) { return sum + x * y.w[i]; }, 0); }
      var nodes = { b: scaled(y.b), h: scaled(moved ? y.b : y.h), w: y.w };
      var words = general(value) + " points";
      return { benefit: centre(nodes.b), worse: centre(nodes.h), nodes: nodes, texts: [words, words] };
    }
    if (!moved) { return outcome.stated; }
    var log = outcome.scale === "log", sign = outcome.better === "higher" ? 1 : -1;
    var t = log ? sign * Math.log(value) : outcome.scale === "fisher_z" ? Math.atanh(value) : value;
    if (!(value > 0 && t > 0 && isFinite(t))) { return null; }
    return { benefit: t, worse: t, texts: [general(value), general(log ? 1 / value : value)] };
  }

  // Probability beyond a distance, or its average where the distance is uncertain; side is 1 for benefit, -1 for harm.
  function beyond(outcome, form, name, nodes, side) {
    var up = (outcome.better === "higher" ? 1 : -1) * side, total = 0;
    (side > 0 ? nodes.b : nodes.h).forEach(function (x, i) { total += nodes.w[i] * probability(form, name, up * x, up > 0); });
    return total;
  }

  function chances(outcome, form, d) {
    var sign = outcome.better === "higher" ? 1 : -1, found = {};
    var nodes = d.nodes || { b: [d.benefit], h: [d.worse], w: [1] };
    ["mu", "theta_new"].forEach(function (name) {
      var important = beyond(outcome, form, name, nodes, 1), harm = beyond(outcome, form, name, nodes, -1);
      found[name] = { any: probability(form, name, 0, sign > 0), important: important, harm: harm,
        trivial: Math.max(0, 1 - important - harm) };
    });
    return found;
  }

  // The finding without numbers, from the same words as the library's; sizes as `size_of` has them.
  function sizeOf(estimate, cuts) {
    var apart = cuts.filter(function (x, i) { return cuts.indexOf(x) === i; });
    var passed = apart.filter(function (x) { return Math.abs(estimate) >= x; }).length;
    if (!passed) { return "little"; }
    return apart.length === 1 ? "effect" : ["slight", "effect", "large"][Math.min(passed, 3) - 1];
  }
  function finding(words, speak, size, benefit, certainty) {
    var start = words.certainty[certainty][0], third = words.certainty[certainty][1];
    var text = certainty === "very low" ? start : start + words.size[size][third ? 0 : 1];
    var said = { who: speak.who, whom: speak.whom, what: speak.what };
    var spoken = speak[benefit ? "benefit" : "harm"];
    return text.replace(/\{(\w+)\}/g, function (_, name) { return name in said ? said[name] : spoken[name]; }) + ".";
  }

  function back(outcome, x) { return outcome.scale === "log" ? Math.exp(x) : outcome.scale === "fisher_z" ? Math.tanh(x) : x; }
  // Numbers that stand together share their decimals; ratios have the digits that each needs. As the command line writes.
  function together(outcome, values) {
    if (outcome.scale === "log") {
      return values.map(function (x) {
        var digits = rules.digits;
        if (x >= digits.large) { return x.toExponential(2); }
        if (x >= digits.wide) { return fixed(x, 0); }
        if (x >= digits.small) { return fixed(x, 2); }
        return x < digits.least_ratio ? "<" + fixed(digits.least_ratio, 4) : String(Number(x.toPrecision(2)));
      });
    }
    var digits = decimals(values);
    return values.map(function (x) { return Math.abs(x) >= rules.digits.large ? x.toExponential(2) : fixed(x, digits); });
  }

  // An estimate and the ends of its interval, to the digits that the width of the interval supports; as `interval_texts`.
  function byWidth(outcome, ends) {
    var lower = ends[1], wide = ends[2] - lower, finest = outcome.scale === "log" ? Math.min(wide, lower) : wide;
    var digits = finest > 0 ? Math.min(Math.max(1 - Math.floor(Math.log10(finest)), 0), 12) : 2;
    if (wide < 10) { digits = Math.max(digits, 2); }
    return ends.map(function (x) { return Math.abs(x) >= rules.digits.large ? x.toExponential(2) : fixed(x, digits); });
  }
  function estimateWords(outcome, ends) {
    var texts = byWidth(outcome, ends);
    return texts[0] + " (95 % central credible interval " + texts[1] + " to " + texts[2] + ")";
  }
  // The plain answer, word for word as `benefit_sentence` of the library makes it.
  function sentence(outcome, ends, found, d) {
    function both(what) { return percent(found.mu[what]) + " for the mean effect and " + percent(found.theta_new[what]) + " in a new study"; }
    function stated(text) { return outcome.scale === "log" ? "a ratio of " + text + " or beyond" : text + " or more"; }
    return outcome.label + ": the mean effect (" + outcome.axis + ") is " + estimateWords(outcome, ends) + "; " + outcome.better +
      " is better. The probability of any benefit is " + both("any") + "; of an important benefit (" + stated(d.texts[0]) + "), " +
      both("important") + "; of an important harm (" + stated(d.texts[1]) + "), " + both("harm") + ".";
  }

  return { back: back, beyond: beyond, byWidth: byWidth, chances: chances, distances: distances, finding: finding, fixed: fixed, floats: floats,
    follow: follow, general: general, number: number, percent: percent, phi: phi, probability: probability, quantile: quantile,
    rules: rules, sentence: sentence, share: share, sizeOf: sizeOf, studentBelow: studentBelow, together: together, typed: typed,
    unpack: unpack };
}());
