//! `gateway admin restored`: after a restore to an earlier moment, before anything is sent.

use jiff::Timestamp;
use serde::Serialize;

use super::answer::Answer;
use super::parse::Moment;
use super::{Admin, AdminError, parse, require_account};
use crate::store::restored::{self, Doubted};

/// `gateway admin restored`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Until when they wait for evidence; then their instance's setting decides, see `instance set-on-unknown`.
    #[arg(long, value_parser = parse::moment)]
    until: Moment,
    /// Only this account's.
    #[arg(long, value_parser = parse::account_id)]
    account: Option<i64>,
    /// Only this instance's.
    #[arg(long, value_parser = parse::instance_id, requires = "account")]
    instance: Option<String>,
}

#[derive(Serialize)]
struct Done {
    doubted: i64,
    wait_longer: u64,
    until: Timestamp,
}

pub(super) async fn run(admin: &Admin, args: Args) -> Result<Answer, AdminError> {
    let until = args.until.after(admin.pool.now().await?);
    let session = admin.session().await?;
    if let Some(account_id) = args.account {
        require_account(&session, account_id).await?;
    }
    let which = Doubted { account_id: args.account, instance_id: args.instance.as_deref(), until };
    let mut doubted = 0;
    // Each is taken once, so this ends.
    loop {
        match restored::doubt(&session, which).await? {
            0 => break,
            taken => doubted += taken,
        }
    }
    let mut wait_longer = 0;
    loop {
        match restored::wait_longer(&session, which).await? {
            0 => break,
            taken => wait_longer += taken,
        }
    }
    let text = format!(
        "{doubted} messages may have been sent since, and wait for evidence until {until}; \
         {wait_longer} that did so already wait as long"
    );
    Ok(Answer::whole(&Done { doubted, wait_longer, until }, text))
}
