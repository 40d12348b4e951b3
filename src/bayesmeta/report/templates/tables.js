"use strict";
// Tables that are recomputed at a new threshold, from the numbers in the page. All are of the analysis as stated.
window.bayesmeta.tables = (function (b) {
  function sign(outcome) { return outcome.better === "higher" ? 1 : -1; }
  // A share of things counted, which may be none or all of them.
  function shareWords(x) {
    if (isNaN(x)) { return ""; }
    var least = b.rules.least_share;
    return x === 0 ? "none" : x === 1 ? "all" : x < least ? "<1 %" : x > 1 - least ? ">99 %" : b.fixed(100 * x, 0) + " %";
  }
  function shortNumber(x) {
    if (!isFinite(x)) { return "not finite"; }
    var size = Math.abs(x);
    return b.fixed(x, size >= 100 ? 0 : size >= 10 ? 1 : 2);
  }
  function levels(count) { return ["no reason to rate down", "consider one level", "consider two levels"][Math.min(count, 2)]; }
  function crossed(low, high, d) { return (low < d.benefit && d.benefit < high ? 1 : 0) + (low < -d.worse && -d.worse < high ? 1 : 0); }
  // The ends of an interval in the direction of benefit.
  function directed(outcome, low, high) { return outcome.better === "higher" ? [low, high] : [-high, -low]; }

  // Every trial's probability of each category between cut points in the direction of benefit, worst first.
  function sides(outcome, theta, cuts) {
    var s = sign(outcome), n = theta.w.length, found = [];
    for (var i = 0; i < theta.k; i++) {
      var last = 1, row = [];
      for (var c = 0; c <= cuts.length; c++) {
        var above = 0;
        for (var j = 0; c < cuts.length && j < n; j++) {
          above += theta.w[j] * b.phi((s * (theta.centre + theta.m[i * n + j]) - cuts[c]) / theta.s[i * n + j]);
        }
        row.push(Math.max(0, last - above));
        last = above;
      }
      found.push(row);
    }
    return found;
  }
  function averages(rows) {
    return rows[0].map(function (_, c) { return rows.reduce(function (sum, row) { return sum + row[c]; }, 0) / rows.length; });
  }
  // The decision and the across-studies inconsistency index, as `decision_index` and `across_trials_index` have them.
  function decisionIndex(rows) {
    var p = averages(rows), n = p.length;
    var far = p.reduce(function (sum, x) { return sum + Math.abs(1 / n - x); }, 0);
    return 100 * Math.max(0, 1 - 0.5 * far / ((n - 1) / n));
  }
  function acrossIndex(rows) {
    if (rows.length < 2) { return NaN; }
    var p = averages(rows), total = 0;
    rows.forEach(function (row) { row.forEach(function (x, c) { if (p[c] > 0) { total += (x - p[c]) * (x - p[c]) / p[c]; } }); });
    return 100 * Math.sqrt(total / rows.length / Math.min(rows.length - 1, p.length - 1));
  }
  function cutsOf(pairs) {
    var all = [];
    pairs.forEach(function (pair) { all.push(-pair[1], pair[0]); });
    return all.sort(function (x, y) { return x - y; }).filter(function (x, i) { return i === 0 || x !== all[i - 1]; });
  }
  function where(outcome, theta, d) {
    var rows = sides(outcome, theta, [-d.worse, d.benefit]), s = sign(outcome), found = { benefit: 0, harm: 0, sure: 0 };
    theta.y.forEach(function (y) { if (s * y >= d.benefit) { found.benefit++; } else if (s * y <= -d.worse) { found.harm++; } });
    rows.forEach(function (row) { if (row[2] >= b.rules.sure) { found.sure++; } });
    found.mean = averages(rows)[2];
    found.di = decisionIndex(rows);
    found.asi = acrossIndex(rows);
    return found;
  }

  // Lines of the table of inconsistency: that of the threshold that moves, and that of all thresholds together.
  function inconsistency(outcome, d, main) {
    var theta = outcome.tables.theta, told = outcome.tables.inconsistency, one = where(outcome, theta, d), rows = {};
    var ends = directed(outcome, main.theta_new[1], main.theta_new[2]);
    rows.first = {
      estimates_benefit: shareWords(one.benefit / theta.k), theta_benefit: shareWords(one.mean), sure_benefit: String(one.sure),
      di: shortNumber(one.di), asi: isNaN(one.asi) ? "" : shortNumber(one.asi), new_crosses: String(crossed(ends[0], ends[1], d))
    };
    ["tau_units_lower", "tau_units", "tau_units_upper"].forEach(function (name, i) { rows.first[name] = shortNumber(told.tau[i] / d.benefit); });
    if (told.others.length) {
      var all = sides(outcome, theta, cutsOf([[d.benefit, d.worse]].concat(told.others))), across = acrossIndex(all);
      rows.last = { di: shortNumber(decisionIndex(all)), asi: isNaN(across) ? "" : shortNumber(across) };
    }
    return rows;
  }

  // GRADE support: the lines that the threshold concerns, as `grade_table` writes them.
  function grade(outcome, d, main, found) {
    var told = outcome.tables.grade, theta = outcome.tables.theta, rows = {}, count;
    function span(low, high) {
      return b.together(outcome, [low, high].map(function (x) { return b.back(outcome, x); })).join(" to ");
    }
    function interval(low, high, rationale) {
      var ends = directed(outcome, low, high);
      count = crossed(ends[0], ends[1], d);
      return { value: count + " of 2 (" + span(low, high) + ")", rationale: rationale, suggestion: levels(count) };
    }
    rows["thresholds crossed by the 95 % credible interval"] = interval(main.mu[1], main.mu[2],
      "P(important benefit) " + b.percent(found.mu.important) + ", P(important harm) " + b.percent(found.mu.harm));
    if (told.classical) {
      rows["thresholds crossed by the Hartung-Knapp interval"] = interval(told.classical[0], told.classical[1], "The classical check beside it");
    }
    if (told.people !== null) {
      var needed = told.needed / (d.benefit * d.benefit), ratio = told.people / needed;
      rows["optimal information size"] = {
        value: told.people + " participants; " + Math.ceil(needed) + " would detect " + b.general(d.benefit) + " SD (" +
          b.fixed(ratio, 1) + " times)",
        suggestion: levels(ratio >= b.rules.size[0] ? 0 : ratio >= b.rules.size[1] ? 1 : 2)
      };
    }
    var one = where(outcome, theta, d), between = theta.k - one.benefit - one.harm;
    var used = [one.benefit, between, one.harm].filter(function (n) { return n > 0; }).length;
    rows["where estimates lie"] = {
      value: one.benefit + " beyond the threshold of benefit, " + between + " between, " + one.harm + " beyond that of harm",
      rationale: "Decision inconsistency index " + b.fixed(one.di, 0) + ", across trials " + (theta.k < 2 ? "not defined" : b.fixed(one.asi, 0)) +
        " (0 to 100, posterior)",
      suggestion: levels(used < 2 || theta.k < 2 ? 0 : Math.min(one.benefit, between + one.harm) < b.rules.other_side * theta.k ? 1 : 2)
    };
    var tau = told.tau.map(function (x) { return x / d.benefit; }), ends = directed(outcome, main.theta_new[1], main.theta_new[2]);
    rows["tau in units of the threshold"] = {
      value: b.fixed(tau[1], 2) + " (" + b.fixed(tau[0], 2) + " to " + b.fixed(tau[2], 2) + ")",
      suggestion: levels(tau[1] < b.rules.tau[0] ? 0 : tau[1] <= b.rules.tau[1] ? 1 : 2)
    };
    count = crossed(ends[0], ends[1], d);
    rows["thresholds crossed by the prediction interval"] = { value: count + " of 2", suggestion: levels(count) };
    return rows;
  }

  function verdict(low, high, distance) {
    if (high < 0) { return "harm"; }
    if (!(low > 0)) { return "not clear"; }
    return low >= distance ? "important benefit" : high >= distance ? "benefit, perhaps important" : "benefit, not important";
  }
  function median(sorted) { var n = sorted.length; return 0.5 * (sorted[(n - 1) >> 1] + sorted[n >> 1]); }
  // Lines of the multiverse: how many specifications reach each verdict, and between which estimates.
  function multiverse(outcome, d) {
    var lines = [], effects = [];
    outcome.tables.multiverse.forEach(function (group) {
      var by = {}, order = [];
      group.estimate.forEach(function (x, i) {
        var ends = directed(outcome, group.lower[i], group.upper[i]), word = verdict(ends[0], ends[1], d.benefit);
        if (!by[word]) { by[word] = []; order.push(word); }
        by[word].push(x);
      });
      order.forEach(function (word) {
        var some = by[word].sort(function (x, y) { return x - y; });
        lines.push([group.specifications, word, String(some.length), shareWords(some.length / group.estimate.length)]);
        effects.push(some[0], median(some), some[some.length - 1]);
      });
    });
    var texts = b.together(outcome, effects.map(function (x) { return b.back(outcome, x); }));
    return lines.map(function (line, i) { return line.concat(texts.slice(3 * i, 3 * i + 3)); });
  }

  // One trial with its review: by each prior weight a mixture of what the review, and what the trial alone says.
  function borrowing(outcome, d) {
    var told = outcome.tables.borrowing, s = sign(outcome);
    function beyond(x, upper, vague) {
      var alone = b.phi((upper ? -1 : 1) * (x - told.alone[0]) / told.alone[1]);
      return (1 - vague) * b.probability(told.review, "mu", x, upper) + vague * alone;
    }
    return told.vague.map(function (vague) {
      return { p_important_benefit: b.percent(beyond(s * d.benefit, s > 0, vague)), p_important_harm: b.percent(beyond(-s * d.worse, s < 0, vague)) };
    });
  }

  // Lines of a table of refits: each a posterior, or a classical mean with its confidence distribution.
  function refits(outcome, lines, d) {
    var s = sign(outcome);
    return lines.map(function (line) {
      if (!line) { return {}; }
      if (line.representation === "classical") {
        var z = (s * line.estimate - d.benefit) / line.se;
        return { p_important_benefit: b.percent(line.df === null ? b.phi(z) : b.studentBelow(z, line.df)) };
      }
      return { p_important_benefit: b.percent(b.probability(line, "mu", s * d.benefit, s > 0)),
        p_important_benefit_new: b.percent(b.probability(line, "theta_new", s * d.benefit, s > 0)) };
    });
  }

  // What the page carries in single precision is made numbers once.
  function prepare(outcome) {
    var t = outcome.tables;
    if (t.theta) { ["w", "m", "s"].forEach(function (name) { t.theta[name] = b.floats(t.theta[name]); }); }
    (t.multiverse || []).forEach(function (group) {
      ["estimate", "lower", "upper"].forEach(function (name) { group[name] = b.floats(group[name]); });
    });
    if (t.borrowing) { t.borrowing.review = b.unpack(t.borrowing.review); }
    ["priors", "concordance"].forEach(function (name) {
      t[name] = t[name] && t[name].map(function (line) { return line && b.unpack(line); });
    });
  }

  return { borrowing: borrowing, grade: grade, inconsistency: inconsistency, multiverse: multiverse, prepare: prepare, refits: refits };
}(window.bayesmeta));
