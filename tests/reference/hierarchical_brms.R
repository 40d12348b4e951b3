# Models without a closed form, by Stan: heavy tails, a missing moderator, a monotone dose-response.
#   Rscript tests/reference/hierarchical_brms.R data/exercise_depression_10_trials.csv OUT.json
#
# Every prior is stated; none is brms's own. Study effects are y ~ N(theta, se), se known. Summaries carry their Monte
# Carlo standard errors (posterior::mcse_*), so that a reader compares within a few of them. A brms `mi()` or `mo()`
# term is not centred, so that the missing moderator is centred here at the mean of the stated values, per 10 units, and
# the monotone fit reports mu at the mean of its curve over the trials (its intercept prior is too wide to matter).
suppressMessages({library(brms); library(rstan); library(posterior); library(metadat); library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
options(mc.cores = 1)
# where a distribution keeps the headers outside R's library
if (rstan_options("boost_lib") == "") rstan_options(boost_lib = "/usr/include")
if (rstan_options("eigen_lib") == "") rstan_options(eigen_lib = "/usr/include/eigen3")
ITER <- if (length(args) > 2) as.integer(args[3]) else 21000L

quantities <- function(draws) {
  s <- summarise_draws(draws, mean, sd, ~quantile2(.x, c(0.025, 0.25, 0.5, 0.75, 0.975)), mcse_mean, mcse_sd,
    ~mcse_quantile(.x, c(0.025, 0.25, 0.5, 0.75, 0.975)), rhat, ess_bulk, ess_tail)
  out <- lapply(seq_len(nrow(s)), function(i) as.list(s[i, -1]))
  names(out) <- s$variable
  out
}

draw <- function(formula, data, prior) {
  fit <- brm(formula, data = data, prior = prior, chains = 4, iter = ITER, warmup = 1000, seed = 20240501, refresh = 0,
    control = list(adapt_delta = 0.995, max_treedepth = 12), silent = 2)
  np <- nuts_params(fit)
  list(draws = as_draws_array(fit), divergent = sum(np$Value[np$Parameter == "divergent__"]))
}

pack <- function(fit, keep, priors, data, note) {
  d <- fit$draws
  chosen <- subset_draws(d, variable = unname(keep))
  variables(chosen) <- names(keep)
  list(note = note, priors = priors, data = data, draws = ndraws(d), divergent = fit$divergent,
       posterior = quantities(chosen))
}

# ---- heavy tails: theta_i ~ mu + tau t_df
normand <- escalc("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = dat.normand1999)
d <- data.frame(y = c(normand$yi), se = sqrt(normand$vi), study = factor(seq_len(nrow(normand))))
fit <- draw(bf(y | se(se) ~ 1 + (1 | gr(study, dist = "student"))), d,
  c(prior(normal(0, 1), class = Intercept), prior(normal(0, 0.5), class = sd),
    prior(exponential(0.0345), class = df, group = study)))
theta <- setNames(paste0("r_study[", 1:9, ",Intercept]"), paste0("deviation[", 1:9, "]"))
student <- pack(fit, c(mu = "b_Intercept", tau = "sd_study__Intercept", df = "df_study", theta),
  list(mu = "normal(0, 1)", tau = "halfnormal(0.5)", df = "truncated(exponential(0.0345), 1, inf)"),
  list(source = "metadat dat.normand1999, escalc SMD", y = d$y, se = d$se),
  "theta_i = mu + deviation_i, deviation_i ~ tau times Student-t with df")

# ---- a missing moderator: latitude of two BCG trials, per 10 degrees
bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
hidden <- c(2, 8)
x <- bcg$ablat; x[hidden] <- NA
centre <- mean(x, na.rm = TRUE)
d <- data.frame(y = c(bcg$yi), se = sqrt(bcg$vi), study = factor(seq_len(nrow(bcg))), x = (x - centre) / 10)
low <- (33 - centre) / 10
fit <- draw(bf(y | se(se) ~ mi(x) + (1 | study)) + bf(x | mi() ~ 1) + set_rescor(FALSE), d,
  c(prior(normal(0, 1), class = Intercept, resp = y), prior(normal(0, 0.5), class = b, coef = mix, resp = y),
    prior(normal(0, 0.5), class = sd, resp = y),
    set_prior(sprintf("normal(%.15g, 2)", low), class = "Intercept", resp = "x"),
    prior(normal(0, 2), class = sigma, resp = x)))
missing <- pack(fit, c(mu = "b_y_Intercept", tau = "sd_study__y_Intercept", slope = "bsp_y_mix", m = "b_x_Intercept",
    s = "sigma_x", "x[2]" = "Ymi_x[2]", "x[8]" = "Ymi_x[8]"),
  list(mu = "normal(0, 1)", tau = "halfnormal(0.5)", slope = "normal(0, 0.5) per 10 degrees",
       mean = "normal(33, 20) degrees", sd = "halfnormal(20) degrees"),
  list(source = "metadat dat.bcg, escalc RR; latitude of trials 2 and 8 hidden", y = d$y, se = d$se, x = x,
       centre = centre, per = 10),
  "m, s, x[.] are on the centred scale: (degrees - centre) / per")

# ---- monotone: programmes of 4 to 6, 8 to 9, 10 to 12 weeks as 0, 1, 2; theta = mu + total * (F(x) - mean F)
e <- read.csv(args[1])
d <- data.frame(y = e$smd, se = e$sesmd, study = factor(seq_len(nrow(e))), dose = findInterval(e$duration, c(8, 10)))
fit <- draw(bf(y | se(se) ~ mo(dose) + (1 | study)), d,
  c(prior(normal(0, 100), class = Intercept), prior(normal(0, 1), class = b, coef = modose),
    prior(normal(0, 0.5), class = sd), prior(dirichlet(1, 1), class = simo, coef = modose1)))
n <- as.numeric(table(factor(d$dose, 0:2)))
fit$draws <- posterior::mutate_variables(fit$draws, total = 2 * bsp_modose, share = `simo_modose1[1]`,
  mu = b_Intercept + total * (n[2] * share + n[3]) / sum(n))
monotone <- pack(fit, c(mu = "mu", tau = "sd_study__Intercept", total = "total", "share[1]" = "share"),
  list(mu = "flat (intercept normal(0, 100))", tau = "halfnormal(0.5)", total = "normal(0, 2)",
       shares = "dirichlet(1, 1)"),
  list(source = "data/exercise_depression_10_trials.csv", y = d$y, se = d$se, x = d$dose, knots = 0:2),
  "columns centred at their mean over trials")

out <- list(
  made_with = list(R = R.version.string, brms = as.character(packageVersion("brms")),
    rstan = as.character(packageVersion("rstan")), posterior = as.character(packageVersion("posterior"))),
  tolerance = "4 of the Monte Carlo standard errors given beside each number",
  student = student, missing_numeric = missing, monotone = monotone)
write_json(out, args[2], digits = 8, auto_unbox = TRUE, na = "null", pretty = TRUE)
for (s in c("student", "missing_numeric", "monotone")) {
  cat(s, out[[s]]$draws, "draws,", out[[s]]$divergent, "divergent\n")
  for (v in names(out[[s]]$posterior)) { q <- out[[s]]$posterior[[v]]
    cat(sprintf("  %-14s %8.4f (mcse %.5f) sd %.4f  %8.4f %8.4f %8.4f  rhat %.4f ess %.0f\n", v, q$mean, q$mcse_mean, q$sd,
      q$q2.5, q$q50, q$q97.5, q$rhat, q$ess_bulk)) }
}
