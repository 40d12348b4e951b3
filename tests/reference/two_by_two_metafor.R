# Reference results for two-by-two tables pooled without continuity corrections: rma.mh and rma.peto of metafor, and
# inverse-variance REML with Hartung-Knapp under each policy for zero cells.
#   Rscript tests/reference/two_by_two_metafor.R tests/reference/counts_metafor.json tests/reference/two_by_two_metafor.json
#
# Tables are those of counts_metafor.json, and three invented ones: many double zeros, one table, equal arms.
# "double_in" keeps tables without a contrast (escalc drop00 = FALSE).
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
from <- fromJSON(args[1])$sets
sets <- lapply(from, function(s) as.matrix(s$raw[, c("events_t", "n_t", "events_c", "n_c")]))
sets$sparse <- rbind(c(0, 25, 0, 30), c(1, 40, 0, 38), c(0, 12, 3, 15), c(0, 50, 0, 50), c(2, 33, 5, 30), c(20, 20, 22, 22), c(4, 60, 4, 61))
sets$one <- rbind(c(3, 40, 8, 42))
sets$equal <- rbind(c(5, 50, 5, 50), c(10, 80, 10, 80), c(2, 30, 2, 30))

fit <- function(r) list(estimate = c(r$b), se = r$se, stat = r$zval, p = r$pval, lower = r$ci.lb, upper = r$ci.ub,
                        q = r$QE, q_p = r$QEp, k = r$k, k_yi = r$k.yi)
out <- lapply(names(sets), function(id) {
  x <- sets[[id]]; a <- x[, 1]; n1 <- x[, 2]; c <- x[, 3]; n2 <- x[, 4]
  mh <- lapply(c(OR = "OR", RR = "RR", RD = "RD"), function(m) {
    r <- suppressWarnings(rma.mh(ai = a, n1i = n1, ci = c, n2i = n2, measure = m, correct = TRUE))
    o <- fit(r)
    if (m == "OR") {
      u <- suppressWarnings(rma.mh(ai = a, n1i = n1, ci = c, n2i = n2, measure = m, correct = FALSE))
      o <- base::c(o, list(cmh = r$MH, cmh_p = r$MHp, cmh_uncorrected = u$MH, breslow_day = r$BD, breslow_day_p = r$BDp,
                     tarone = r$TA, tarone_p = r$TAp, k_pos = r$k.pos))
    }
    o
  })
  reml <- list()
  # REML of a few zeros needs many small steps; the optimum is what is wanted
  one <- function(measure, zero, drop) {
    to <- base::c(half = "only0", half_all = "all", none = "none", treatment_arm = "none")[[zero]]
    e <- escalc(measure = measure, ai = a, n1i = n1, ci = c, n2i = n2, add = 1 / 2, to = to, drop00 = drop)
    if (zero == "treatment_arm") {
      z <- a == 0 | c == 0 | a == n1 | c == n2
      at <- ifelse(z, n1 / (n1 + n2), 0); ac <- ifelse(z, n2 / (n1 + n2), 0)
      e <- escalc(measure = measure, ai = a + at, bi = n1 - a + at, ci = c + ac, di = n2 - c + ac, add = 0, to = "none", drop00 = FALSE)
      if (drop) e <- e[!((a == 0 & c == 0) | (a == n1 & c == n2)), ]
    }
    e <- e[is.finite(e$yi) & is.finite(e$vi) & e$vi > 0, ]
    if (nrow(e) < 2) return(NULL)
    r <- tryCatch(rma(yi, vi, data = e, test = "knha", control = list(threshold = 1e-14, maxiter = 10000, stepadj = 0.5)), error = function(err) NULL)
    if (is.null(r)) return(NULL)
    list(k = r$k, tau2 = r$tau2, estimate = base::c(r$b), se = r$se, lower = r$ci.lb, upper = r$ci.ub, p = r$pval)
  }
  for (m in base::c("OR", "RR", "RD")) for (zero in base::c("half", "half_all", "treatment_arm", "none")) for (drop in base::c(FALSE, TRUE))
    reml[[paste(m, zero, if (drop) "double_out" else "double_in")]] <- one(m, zero, drop)
  list(id = id, counts = x, mh = mh, peto = fit(suppressWarnings(rma.peto(ai = a, n1i = n1, ci = c, n2i = n2))), reml = reml)
})
res <- list(made_with = list(R = R.version.string, metafor = as.character(packageVersion("metafor"))),
            tolerance = "rma.mh and rma.peto are closed forms, 1e-9; reml 1e-6", sets = out)
write_json(res, args[2], digits = NA, auto_unbox = TRUE, na = "null", pretty = FALSE)
for (s in out) cat(s$id, nrow(s$counts), s$mh$OR$estimate, s$peto$estimate, length(s$reml), "\n")
