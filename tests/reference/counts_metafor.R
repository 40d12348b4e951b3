# Log odds ratios from counts, without continuity corrections, by metafor's rma.glmm.
#   Rscript tests/reference/counts_metafor.R tests/reference/counts_metafor.json
#
# UM.FS: fixed study effects (2 x 2 binomial-normal), UM.RS: random study effects, CM.EL: the exact conditional
# likelihood (noncentral hypergeometric given the margins), CM.AL: its binomial approximation. "UM.FS treated" adds the
# random effect to the treated arm alone (coding = 1) instead of one half to each arm. Maximum likelihood;
# method "ML" is the random-effects and "EE" the common-effect model. A fit that did not converge is absent and named
# under "failed". Trials with no event, or only events, in both arms enter as metafor takes them ("k" says how many).
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)

sets <- list()
add <- function(id, source, label, events_t, n_t, events_c, n_c) {
  keep <- complete.cases(events_t, n_t, events_c, n_c)
  sets[[id]] <<- list(source = source, label = as.character(label)[keep],
    raw = data.frame(events_t = events_t, n_t = n_t, events_c = events_c, n_c = n_c)[keep, ])
}
d <- dat.bcg
add("bcg", "metadat dat.bcg (Colditz 1994)", d$author, d$tpos, d$tpos + d$tneg, d$cpos, d$cpos + d$cneg)
d <- dat.hine1989
add("hine1989", "metadat dat.hine1989", d$source, d$ai, d$n1i, d$ci, d$n2i)
d <- dat.nielweise2007
add("nielweise2007", "metadat dat.nielweise2007 (catheter infections; zeros)", d$author, d$ai, d$n1i, d$ci, d$n2i)
d <- dat.collins1985a
add("collins1985_deaths", "metadat dat.collins1985a, maternal or perinatal deaths (d); zeros", d$trial, d$d.xti, d$nti, d$d.xci, d$nci)
add("collins1985_bleeding", "metadat dat.collins1985a, clinical haemorrhage (b)", d$trial, d$b.xti, d$nti, d$b.xci, d$nci)
d <- subset(dat.yusuf1985, table == "6")
add("yusuf1985_table6", "metadat dat.yusuf1985, table 6 (early beta-blockers, deaths); zeros", d$trial, d$ai, d$n1i, d$ci, d$n2i)
d <- subset(dat.yusuf1985, table == "9")
add("yusuf1985_table9", "metadat dat.yusuf1985, table 9 (intravenous beta-blockers, deaths); many zeros", d$trial, d$ai, d$n1i, d$ci, d$n2i)
# The "Blocker" example of BUGS and of NICE TSD 2 is table 10 without Yusuf's 1/11 v 1/11 (and Ciba-Geigy, not reported).
d <- subset(dat.yusuf1985, table == "10" & trial != "Yusuf")
add("blocker", "metadat dat.yusuf1985, table 10 without Yusuf: the 22 trials of NICE TSD 2", d$trial, d$ai, d$n1i, d$ci, d$n2i)
add("crins2014", "R bayesmeta CrinsEtAl2014, acute rejection", c("Heffron (2003)", "Gibelli (2004)", "Schuller (2005)", "Ganschow (2005)", "Spada (2006)", "Gras (2008)"),
    c(14, 16, 3, 9, 4, 0), c(61, 28, 18, 54, 36, 50), c(15, 19, 8, 29, 11, 3), c(20, 28, 12, 54, 36, 34))

fit_one <- function(raw, model, method, coding) {
  # adaptive Gauss-Hermite with 25 nodes where there is one random effect per trial; glmer has only Laplace for two
  nagq <- if (model == "UM.RS") 1 else 25
  control <- if (model == "CM.EL") list(optimizer = "optim", optmethod = "BFGS", optCtrl = list(reltol = 1e-14),
    intCtrl = list(rel.tol = 1e-9, subdivisions = 1000L)) else list(glmerCtrl = list(optimizer = "bobyqa"))
  one <- function(control) rma.glmm(ai = raw$events_t, n1i = raw$n_t, ci = raw$events_c, n2i = raw$n_c, measure = "OR",
    model = model, method = method, coding = coding, nAGQ = nagq, control = control)
  f <- suppressWarnings(one(control))
  ll <- logLik(f)
  list(k = f$k, estimate = c(f$b), se = f$se, tau2 = f$tau2, se_tau2 = if (is.null(f$se.tau2)) NA else f$se.tau2,
       sigma2_baseline = if (model == "UM.RS") f$sigma2 else NA, loglik = as.numeric(ll), parameters = attr(ll, "df"),
       QE_LRT = f$QE.LRT, QE_df = f$QE.df)
}

for (id in names(sets)) {
  failed <- character(0); fits <- list()
  for (model in c("UM.FS", "UM.FS treated", "UM.RS", "CM.EL", "CM.AL")) for (method in c("ML", "EE")) {
    began <- proc.time()[[3]]
    f <- tryCatch({ setTimeLimit(elapsed = 120); fit_one(sets[[id]]$raw, sub(" .*", "", model), method,
      if (model == "UM.FS treated") 1 else 1 / 2) },
      error = function(e) { message(id, " ", model, " ", method, ": ", conditionMessage(e)); NULL })
    setTimeLimit(elapsed = Inf)
    key <- paste(model, method)
    if (is.null(f)) failed <- c(failed, key) else fits[[key]] <- f
    cat(sprintf("%-20s %-9s %5.1fs", id, key, proc.time()[[3]] - began),
        if (is.null(f)) "failed" else sprintf("k %d b %.5f se %.5f tau %.5f ll %.6f", f$k, f$estimate, f$se, sqrt(f$tau2), f$loglik), "\n")
  }
  sets[[id]]$fits <- fits
  sets[[id]]$failed <- I(failed)
}
out <- list(
  made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor")),
    metadat = as.character(packageVersion("metadat")), lme4 = as.character(packageVersion("lme4")),
    BiasedUrn = as.character(packageVersion("BiasedUrn"))),
  tolerance = paste("where the optimisers stopped: estimate 2e-4, se 1e-3, tau2 1e-3, loglik 1e-3;",
    "UM.RS is a Laplace approximation"),
  sets = sets)
write_json(out, args[1], digits = 10, auto_unbox = TRUE, na = "null", pretty = TRUE, dataframe = "rows")
