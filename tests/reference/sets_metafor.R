# The classical part of the twelve data sets again, from the estimates and variances that stand in their files.
# Run: Rscript tests/reference/sets_metafor.R OUT (metafor, jsonlite), from the root of the project
library(metafor)
library(jsonlite)
out <- commandArgs(trailingOnly = TRUE)[1]
names <- c("bcg_rr", "crins_or", "eight_schools", "furukawa_smd", "furukawa_smdh", "gibson_smd", "hackshaw_logor",
           "hine_or", "hine_rd", "normand_md", "normand_smd", "raudenbush_smd")
control <- list(threshold = 1e-10, tol = 1e-14, maxiter = 10000, tau2.max = 1e6)
one <- function(fit) list(estimate = as.numeric(fit$beta), se = fit$se, ci_low = fit$ci.lb, ci_high = fit$ci.ub,
                          tau2 = fit$tau2, Q = fit$QE, I2 = fit$I2)
found <- list(made_with = paste("metafor", packageVersion("metafor"), "R", getRversion()))
for (name in names) {
  set <- fromJSON(file.path("tests", "reference", paste0(name, ".json")), simplifyVector = FALSE)
  yi <- as.numeric(unlist(set$yi))
  vi <- as.numeric(unlist(set$vi))
  rows <- list()
  for (method in c("EE", "DL", "REML", "ML", "PM", "EB", "HE", "HS", "SJ")) {
    for (test in if (method == "EE") "z" else c("z", "knha")) {
      fit <- tryCatch(rma(yi, vi, method = method, test = test, control = control), error = function(e) NULL)
      key <- if (test == "z") method else paste0(method, "_", test)
      if (!is.null(fit)) rows[[key]] <- one(fit)
    }
  }
  rows[["regtest"]] <- list(p = regtest(rma(yi, vi, method = "REML", control = control))$pval)
  found[[name]] <- rows
}
write(toJSON(found, digits = NA, auto_unbox = TRUE, pretty = TRUE), out)
