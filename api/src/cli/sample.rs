//! `ledger sample`: the sample clinic.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use jiff::Zoned;
use secrecy::{ExposeSecret as _, SecretString};

use super::output::Output;
use super::verdict::Verdict;
use crate::sample::{self, Healing, Tour};

#[derive(Debug, Subcommand)]
pub(super) enum Sample {
    /// Load the sample clinic into a running ledger, through its public API
    ///
    /// The password is taken from `LEDGER_ADMIN_PASSWORD`. The sample's own accounts (clinician,
    /// front-desk, auditor, compliance) get the same one: load it into no ledger that holds real records.
    Load {
        /// The server
        #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
        url: String,
        /// The administrator's log-in name
        #[arg(long, default_value = "admin", value_name = "NAME")]
        login: String,
        /// The password
        #[arg(long, env = "LEDGER_ADMIN_PASSWORD", hide = true, hide_env_values = true)]
        password: Option<SecretString>,
        /// Write pictures of the wounds into this folder: how they heal as healing-1.svg, healing-2.svg, …, and what
        /// was measured first as wound-1.png, wound-2.png, …
        #[arg(long, value_name = "FOLDER")]
        pictures: Option<PathBuf>,
    },
}

impl Sample {
    pub(super) async fn run(self, output: &Output) -> anyhow::Result<Verdict> {
        let Sample::Load { url, login, password, pictures } = self;
        let password =
            password.context("set LEDGER_ADMIN_PASSWORD to the administrator's password")?;
        let password = password.expose_secret();
        let say = |text: &str| output.line(text);
        let today = Zoned::now().date();
        let tour = sample::load(&url, (&login, password), password, today, &say).await?;
        if let Some(folder) = pictures {
            for (number, healing) in (1..).zip(&tour.healing) {
                let chart = (format!("healing-{number}.svg"), Some(&healing.chart));
                let overlay = (format!("wound-{number}.png"), healing.overlay.as_ref());
                for (name, picture) in [chart, overlay] {
                    let Some(picture) = picture else { continue };
                    let file = folder.join(name);
                    std::fs::write(&file, picture)
                        .with_context(|| format!("cannot write {}", file.display()))?;
                }
            }
        }
        output.result(&tour, |output| print(&tour, output))?;
        Ok(Verdict::InOrder)
    }
}

fn print(tour: &Tour, output: &Output) {
    for healing in &tour.healing {
        print_healing(healing, output);
    }
    output.line("");
}

fn print_healing(healing: &Healing, output: &Output) {
    output.line(format!("\n{}", healing.wound));
    output.line("date          area cm²      (true)  reduction   length   width    depth   volume");
    for visit in &healing.visits {
        let date = visit.date;
        let truth = visit.true_area_cm2.map_or_else(String::new, |area| format!("({area:.2})"));
        let Some(figures) = &visit.figures else {
            let reason = visit.rejected.as_deref().unwrap_or("unknown");
            output.line(format!("{date}    not measured: {reason}"));
            continue;
        };
        let reduction = visit
            .area_reduction_percent
            .map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %"));
        output.line(format!(
            "{date}  {:>6.2} ± {:<5.2} {truth:>8}  {reduction:>9}  {:>4.1} cm {:>4.1} cm {:>5.1} mm {:>5.2} cm³",
            figures.area_cm2,
            figures.area_sd_cm2,
            figures.length_cm,
            figures.width_cm,
            figures.max_depth_mm,
            figures.volume_cm3,
        ));
    }
    if let Some(outlook) = &healing.outlook {
        let weeks = &outlook.four_week_reduction_permille;
        let percent = |permille: i64| permille as f64 / 10.0;
        let closure = outlook.closure_days.as_ref().map_or_else(
            || "no day of closure is certain".to_owned(),
            |days| format!("closes about day {} ({} to {})", days.value, days.low, days.high),
        );
        output.line(format!(
            "four weeks: {:.0} % smaller ({:.0} to {:.0}); {closure}",
            percent(weeks.value),
            percent(weeks.low),
            percent(weeks.high)
        ));
    }
}
