//! `gateway admin audit`: does everything that must hold of the database hold?

use super::answer::{Answer, table};
use super::{Admin, AdminError, parse, require_account};
use crate::audit::{Options, Report, Witnesses, audit};

/// `gateway admin audit`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this account.
    #[arg(long, value_parser = parse::account_id)]
    account: Option<i64>,
}

pub(super) async fn run(admin: &Admin, args: Args) -> Result<Answer, AdminError> {
    if let Some(account_id) = args.account {
        require_account(&admin.session().await?, account_id).await?;
    }
    let options = Options { account: args.account, ..Options::default() };
    let report = audit(&admin.pool, &options, &Witnesses::default()).await?;
    Ok(Answer::whole(&report, explained(&report)).alarming_if(!report.is_clean()))
}

/// What was looked at, a line for each check, and what those mean that found something.
fn explained(report: &Report) -> String {
    let heads = ["check", "looked at", "wrong"].map(str::to_owned);
    let rows: Vec<[String; 3]> = report
        .checks
        .iter()
        .map(|check| [check.id.to_owned(), check.looked_at.to_string(), check.wrong.to_string()])
        .collect();
    let mut text = format!("{} accounts, {} messages\n\n", report.accounts, report.messages);
    text.push_str(&table(&[&[heads], &rows[..]].concat()));
    for check in report.wrong() {
        text.push_str(&format!("\n\n{}: {}", check.id, check.meaning));
        for example in &check.examples {
            text.push_str(&format!("\n  {example}"));
        }
    }
    if report.is_clean() {
        text.push_str("\n\nnothing is wrong");
    }
    text
}
