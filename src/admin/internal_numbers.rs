//! `gateway admin internal-number …`.

use super::answer::{Answer, or_dash};
use super::{Admin, AdminError, insert_error, parse, require_account};
use crate::domain::phone::PhoneNumber;
use crate::store::internal_numbers;

/// `gateway admin internal-number …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Count a number among the account's own team.
    Add {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// The number.
        #[arg(long, value_parser = parse::phone)]
        phone: PhoneNumber,
        /// Whose it is.
        #[arg(long, value_parser = parse::name)]
        name: Option<String>,
    },
    /// Strike a number off.
    Remove {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// The number.
        #[arg(long, value_parser = parse::phone)]
        phone: PhoneNumber,
    },
    /// Show an account's own numbers.
    List {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
    },
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Add { account, phone, name } => {
            let session = admin.session().await?;
            let added = internal_numbers::insert(&session, account, &phone, name.as_deref())
                .await
                .map_err(|error| insert_error(error, account))?;
            let what = if added { "is an internal number" } else { "was an internal number already" };
            Ok(Answer::done_to(&phone, what))
        }
        Command::Remove { account, phone } => {
            let session = admin.session().await?;
            if internal_numbers::delete(&session, account, &phone).await? {
                return Ok(Answer::done_to(&phone, "is not an internal number any more"));
            }
            require_account(&session, account).await?;
            let what = format!("internal number +{}", phone.digits());
            Err(AdminError::Nothing { account_id: account, what })
        }
        Command::List { account } => {
            let session = admin.session_of(account).await?;
            let rows = internal_numbers::list(&session, account).await?;
            Ok(Answer::list(&rows, ["phone", "name", "since"], |row| {
                [format!("+{}", row.recipient), or_dash(row.name.as_ref()), row.created_at.to_string()]
            }))
        }
    }
}
