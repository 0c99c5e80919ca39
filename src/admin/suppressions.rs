//! `gateway admin suppression …`.

use super::answer::Answer;
use super::{Admin, AdminError, insert_error, parse, require_account};
use crate::domain::phone::PhoneNumber;
use crate::store::suppressions::{self, Scope, Source};

/// `gateway admin suppression …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Send a recipient nothing more.
    Add {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// The recipient.
        #[arg(long, value_parser = parse::phone)]
        phone: PhoneNumber,
        /// Which messages are stopped; non-essential are all but one-time codes.
        #[arg(long, default_value = "all")]
        scope: Scope,
    },
    /// Send to a recipient again.
    Remove {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// The recipient.
        #[arg(long, value_parser = parse::phone)]
        phone: PhoneNumber,
        /// Only the suppression of this scope; every one where not given.
        #[arg(long)]
        scope: Option<Scope>,
    },
    /// Show an account's suppressions.
    List {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// Of this recipient alone.
        #[arg(long, value_parser = parse::phone)]
        phone: Option<PhoneNumber>,
        /// Of this scope alone.
        #[arg(long)]
        scope: Option<Scope>,
    },
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Add { account, phone, scope } => {
            let session = admin.session().await?;
            let added = suppressions::insert(&session, account, &phone, scope, Source::Operator)
                .await
                .map_err(|error| insert_error(error, account))?;
            Ok(done(&phone, if added { "is suppressed" } else { "was suppressed already" }))
        }
        Command::Remove { account, phone, scope } => {
            let session = admin.session().await?;
            if suppressions::delete(&session, account, &phone, scope).await? > 0 {
                return Ok(done(&phone, "is not suppressed any more"));
            }
            require_account(&session, account).await?;
            let what = format!("such suppression of +{}", phone.digits());
            Err(AdminError::Nothing { account_id: account, what })
        }
        Command::List { account, phone, scope } => {
            let session = admin.session_of(account).await?;
            let rows = suppressions::list(&session, account, phone.as_ref(), scope).await?;
            Ok(Answer::list(&rows, ["phone", "scope", "source", "since"], |row| {
                [
                    format!("+{}", row.recipient),
                    row.scope.clone(),
                    row.source.clone(),
                    row.created_at.to_string(),
                ]
            }))
        }
    }
}

fn done(phone: &PhoneNumber, what: &str) -> Answer {
    let number = format!("+{}", phone.digits());
    Answer::done(&number, format!("{number} {what}"))
}
