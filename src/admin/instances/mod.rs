//! `gateway admin instance …`.

mod create;
mod meta;
mod webhook;

use self::create::token_in;
pub use self::create::{Create, create};
use self::webhook::Register;
use crate::admin::answer::{Answer, or_dash};
use crate::admin::{Admin, AdminError, parse, require_account};
use crate::config::{self, Lookup};
use crate::domain::instance::{Connection, OnUnknown, OutsideWindow};
use crate::domain::rate::Rate;
use crate::store::instances::{self, InstanceRow, Resumed, ReviewRow};
use crate::store::senders::token_context;
use crate::store::{Session, behaviour};

/// `gateway admin instance …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an instance.
    Create(Create),
    /// Refuse its sends and hold its messages until somebody has looked.
    Pause {
        #[command(flatten)]
        which: Which,
        /// Why, for those who look.
        #[arg(long, value_parser = parse::name)]
        reason: Option<String>,
        #[command(flatten)]
        who: Who,
    },
    /// End a pause after a review; what waited leaves at once.
    Resume {
        #[command(flatten)]
        which: Which,
        /// What the review found.
        #[arg(long, value_parser = parse::note)]
        note: String,
        #[command(flatten)]
        who: Who,
    },
    /// Show who paused and resumed it when and why, the latest first.
    Reviews {
        #[command(flatten)]
        which: Which,
    },
    /// Say whether it can reach its provider; where it can, what waited leaves at once.
    SetConnection {
        #[command(flatten)]
        which: Which,
        /// The new state.
        state: Connection,
    },
    /// Change how often it may send.
    SetRate {
        #[command(flatten)]
        which: Which,
        /// COUNT/[N]UNIT, for example 20/s, 1/6s or 30/min,burst=3.
        rate: Rate,
    },
    /// Say what becomes of a message of which nobody learned in time whether it was sent.
    SetOnUnknown {
        #[command(flatten)]
        which: Which,
        /// Fail it, or send it again, perhaps for the second time.
        on_unknown: OnUnknown,
    },
    /// Say what people who opt out with a word are answered once.
    SetConfirmation {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        answer: Confirmation,
    },
    /// Say what becomes of free text to people who wrote nothing for a day, to whom Meta lets only templates through.
    SetOutsideWindow {
        #[command(flatten)]
        which: Which,
        /// Fail it at once, as far as it is known, or ask Meta all the same.
        outside_window: OutsideWindow,
    },
    /// Ask Meta about the number, with its token: whose it is and how it stands.
    Check {
        #[command(flatten)]
        which: Which,
    },
    /// Replace the access token, for example after it has expired.
    SetToken {
        #[command(flatten)]
        which: Which,
        /// The name of the environment variable that holds the access token.
        #[arg(long, value_name = "VAR", value_parser = parse::variable)]
        token_env: String,
    },
    /// Have its Evolution server report to this gateway; what was registered before ends an hour later.
    RegisterWebhook(Register),
    /// Show an account's instances.
    List {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
    },
}

/// One instance.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Which {
    /// The account's id.
    #[arg(long, value_parser = parse::account_id)]
    account: i64,
    /// The instance's id.
    #[arg(long, value_parser = parse::instance_id)]
    id: String,
}

/// What an opt-out is answered.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct Confirmation {
    /// This text.
    #[arg(long, value_name = "TEXT", value_parser = parse::message)]
    opt_out: Option<String>,
    /// Nothing.
    #[arg(long)]
    none: bool,
}

/// Who does it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Who {
    /// Your name, for the reviews; where not given, that in the variable USER, else operator.
    #[arg(long, value_name = "NAME", value_parser = parse::person)]
    by: Option<String>,
}

impl Who {
    fn name(self, lookup: Lookup<'_>) -> String {
        let of_user = || lookup("USER").and_then(|user| parse::person(&user).ok());
        self.by.or_else(of_user).unwrap_or_else(|| "operator".to_owned())
    }
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Create(new) => {
            create(admin, &new).await?;
            Ok(done(&new.id, "created"))
        }
        Command::Pause { which, reason, who } => {
            let (session, by) = (admin.session().await?, who.name(&config::environment));
            let found = instances::pause(&session, which.key(), reason.as_deref(), &by).await?;
            which.require(found, &session).await?;
            Ok(done(&which.id, "is paused"))
        }
        Command::Resume { which, note, who } => {
            let (session, by) = (admin.session().await?, who.name(&config::environment));
            let resumed = instances::resume(&session, which.key(), &note, &by).await?;
            which.require(resumed != Resumed::NoInstance, &session).await?;
            if resumed == Resumed::NotPaused {
                return Err(AdminError::NotPaused(which.id));
            }
            // What was looked into is not held against it again.
            let instance = admin.secret_key.fingerprint("instance", &which.id);
            behaviour::forget_blocked(&session, which.account, instance).await?;
            instances::wake(&session, which.key()).await?;
            Ok(done(&which.id, "is not paused any more"))
        }
        Command::Reviews { which } => {
            let session = admin.session().await?;
            let found = instances::reviews(&session, which.account, &which.id).await?;
            which.require(found.is_some(), &session).await?;
            Ok(reviews(&found.unwrap_or_default()))
        }
        Command::SetConnection { which, state } => set_connection(admin, &which, state).await,
        Command::SetRate { which, rate } => set_rate(admin, &which, rate).await,
        Command::SetOnUnknown { which, on_unknown } => set_on_unknown(admin, &which, on_unknown).await,
        Command::SetOutsideWindow { which, outside_window } => {
            meta::set_outside_window(admin, &which, outside_window).await
        }
        Command::Check { which } => meta::check(admin, &which).await,
        Command::SetConfirmation { which, answer } => set_confirmation(admin, &which, &answer).await,
        Command::SetToken { which, token_env } => {
            let token = token_in(&token_env, &config::environment)?;
            let sealed = admin.secret_key.seal(&token_context(which.account, &which.id), token.as_bytes());
            let session = admin.session().await?;
            let found = instances::set_token(&session, which.account, &which.id, &sealed).await?;
            which.require(found, &session).await?;
            Ok(done(&which.id, "has a new token"))
        }
        Command::RegisterWebhook(register) => webhook::register(admin, &register).await,
        Command::List { account } => {
            Ok(list(&instances::list(&admin.session_of(account).await?, account).await?))
        }
    }
}

async fn set_rate(admin: &Admin, which: &Which, rate: Rate) -> Result<Answer, AdminError> {
    let session = admin.session().await?;
    let found = instances::set_rate(&session, which.account, &which.id, rate).await?;
    which.require(found, &session).await?;
    Ok(done(&which.id, &format!("sends {rate}")))
}

async fn set_connection(admin: &Admin, which: &Which, state: Connection) -> Result<Answer, AdminError> {
    let session = admin.session().await?;
    let found = instances::set_connection(&session, which.account, &which.id, state).await?;
    which.require(found, &session).await?;
    if state == Connection::Open {
        instances::wake(&session, which.key()).await?;
    }
    Ok(done(&which.id, &format!("has the connection {}", state.as_str())))
}

async fn set_on_unknown(admin: &Admin, which: &Which, on_unknown: OnUnknown) -> Result<Answer, AdminError> {
    let session = admin.session().await?;
    let found = instances::set_on_unknown(&session, which.account, &which.id, on_unknown).await?;
    which.require(found, &session).await?;
    Ok(done(&which.id, &format!("lets unknown messages {}", on_unknown.as_str())))
}

async fn set_confirmation(admin: &Admin, which: &Which, answer: &Confirmation) -> Result<Answer, AdminError> {
    let session = admin.session().await?;
    let text = answer.opt_out.as_deref();
    let found = instances::set_opt_out_confirmation(&session, which.key(), text).await?;
    which.require(found, &session).await?;
    let what = if text.is_some() { "confirms opt-outs" } else { "does not confirm opt-outs" };
    Ok(done(&which.id, what))
}

impl Which {
    fn key(&self) -> (i64, &str) {
        (self.account, &self.id)
    }

    async fn require(&self, found: bool, session: &Session) -> Result<(), AdminError> {
        if found {
            return Ok(());
        }
        require_account(session, self.account).await?;
        Err(AdminError::Nothing { account_id: self.account, what: format!("instance `{}`", self.id) })
    }
}

fn done(id: &str, what: &str) -> Answer {
    Answer::done(id, format!("instance `{id}` {what}"))
}

fn reviews(rows: &[ReviewRow]) -> Answer {
    Answer::list(rows, ["at", "action", "by", "log id", "note"], |row| {
        [
            row.at.to_string(),
            row.action.clone(),
            row.by.clone(),
            or_dash(row.log_id),
            or_dash(row.note.as_ref()),
        ]
    })
}

fn list(rows: &[InstanceRow]) -> Answer {
    let heads = ["id", "name", "provider", "number id or name", "connection", "paused", "rate", "address"];
    Answer::list(rows, heads, |row| {
        [
            row.instance_id.clone(),
            row.name.clone(),
            row.provider.clone(),
            or_dash(row.phone_number_id.as_ref().or(row.provider_instance.as_ref())),
            row.connection.clone(),
            or_dash(row.paused_at),
            row.rate.clone(),
            row.base_url.clone(),
        ]
    })
}
