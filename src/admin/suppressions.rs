//! `gateway admin suppression …`.

use jiff::Timestamp;

use super::answer::{Answer, or_dash};
use super::parse::Moment;
use super::{Admin, AdminError, insert_error, parse, require_account};
use crate::domain::phone::PhoneNumber;
use crate::store::aliases::{self, UnresolvedRow};
use crate::store::suppressions::{self, Added, Period, Scope, Source};

/// `gateway admin suppression …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Send a recipient nothing more, for a time or until it is removed.
    Add(Add),
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
    /// Show the wishes of people whose number is not known, which are not heeded yet.
    Unresolved {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
    },
    /// Say whose number is behind the sender of such a wish, and so carry it out.
    Resolve {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// The sender, as it is listed.
        #[arg(long)]
        sender: String,
        /// Their number.
        #[arg(long, value_parser = parse::phone)]
        phone: PhoneNumber,
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

/// `gateway admin suppression add`.
#[derive(Debug, clap::Args)]
pub(super) struct Add {
    /// The account's id.
    #[arg(long, value_parser = parse::account_id)]
    account: i64,
    /// The recipient.
    #[arg(long, value_parser = parse::phone)]
    phone: PhoneNumber,
    /// Which messages are stopped; non-essential are all but one-time codes.
    #[arg(long, default_value = "all")]
    scope: Scope,
    /// From when on, as a time or a duration from now on (2027-01-31T12:00:00Z, 12h, 30d); now where not given.
    #[arg(long, value_name = "T", value_parser = parse::moment)]
    from: Option<Moment>,
    /// Until when, written in the same way; until it is removed where not given.
    #[arg(long, value_name = "T", value_parser = parse::moment)]
    until: Option<Moment>,
}

impl Add {
    fn period(&self, now: Timestamp) -> Result<Period, AdminError> {
        let from = self.from.map(|from| from.after(now));
        let until = self.until.map(|until| until.after(now));
        let problem = match until {
            Some(until) if until <= now => "--until must be in the future",
            Some(until) if from.is_some_and(|from| until <= from) => "--until must be later than --from",
            _ => return Ok(Period { from, until }),
        };
        Err(AdminError::Arguments(problem.to_owned()))
    }
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Add(new) => add(admin, &new).await,
        Command::Remove { account, phone, scope } => {
            let session = admin.session().await?;
            if suppressions::delete(&session, account, &phone, scope).await? > 0 {
                return Ok(Answer::done_to(&phone, "is not suppressed any more"));
            }
            require_account(&session, account).await?;
            let what = format!("such suppression of +{}", phone.digits());
            Err(AdminError::Nothing { account_id: account, what })
        }
        Command::Unresolved { account } => {
            let rows = aliases::unresolved(&admin.session_of(account).await?, account).await?;
            Ok(unresolved(&rows))
        }
        Command::Resolve { account, sender, phone } => resolve(admin, account, &sender, &phone).await,
        Command::List { account, phone, scope } => {
            let session = admin.session_of(account).await?;
            let rows = suppressions::list(&session, account, phone.as_ref(), scope).await?;
            let heads = ["phone", "scope", "state", "from", "until", "source", "asked for"];
            Ok(Answer::list(&rows, heads, |row| {
                [
                    format!("+{}", row.recipient),
                    row.scope.clone(),
                    row.state.clone(),
                    row.starts_at.to_string(),
                    or_dash(row.ends_at),
                    row.source.clone(),
                    row.created_at.to_string(),
                ]
            }))
        }
    }
}

async fn add(admin: &Admin, new: &Add) -> Result<Answer, AdminError> {
    let period = new.period(admin.pool.now().await?)?;
    let session = admin.session().await?;
    let added =
        suppressions::insert(&session, new.account, &new.phone, new.scope, Source::Operator, period).await;
    match added.map_err(|error| insert_error(error, new.account))? {
        Added::Done => Ok(Answer::done_to(&new.phone, &format!("is suppressed{}", shown(period)))),
        // A period that is not heeded must not look like one that is.
        Added::Already(source) if period != Period::default() && source != Source::Operator.as_str() => {
            let number = new.phone.digits();
            Err(AdminError::Taken(format!(
                "+{number} is suppressed already by the source {source}, whose period stays: remove it first"
            )))
        }
        Added::Already(_) => Ok(Answer::done_to(&new.phone, "was suppressed already")),
    }
}

fn unresolved(rows: &[UnresolvedRow]) -> Answer {
    Answer::list(rows, ["instance", "sender", "wish", "first at", "last at"], |row| {
        [
            row.instance_id.clone(),
            row.sender.clone(),
            row.wish.clone(),
            row.first_at.to_string(),
            row.last_at.to_string(),
        ]
    })
}

async fn resolve(
    admin: &Admin,
    account: i64,
    sender: &str,
    phone: &PhoneNumber,
) -> Result<Answer, AdminError> {
    let mut session = admin.session_of(account).await?;
    let transaction = session.begin().await?;
    let learnt = aliases::learn(&transaction, account, sender, phone.digits()).await?;
    if learnt.wishes.is_empty() {
        let what = format!("wish of `{sender}` that waits");
        return Err(AdminError::Nothing { account_id: account, what });
    }
    transaction.commit().await?;
    Ok(Answer::done_to(phone, "has been given what was asked for"))
}

fn shown(Period { from, until }: Period) -> String {
    let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
    let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
    from + &until
}
