//! `gateway admin instance …`.

use reqwest::Url;

use crate::admin::answer::{Answer, or_dash};
use crate::admin::{Admin, AdminError, insert_error, parse, require_account};
use crate::config::{self, Environment, Lookup};
use crate::domain::instance::{Connection, Provider};
use crate::domain::rate::Rate;
use crate::store::instances::{self, INSTANCE_ID_TAKEN, InstanceRow, NewInstance, PHONE_NUMBER_TAKEN};
use crate::store::senders::token_context;
use crate::store::{Session, StoreError};

/// What Meta grants a number at first is 80/s; this leaves room for whatever else uses it.
const DEFAULT_RATE: Rate = Rate { interval_us: 50_000, burst: 1 };
/// The version of Meta's API, the first part of its paths.
const API_VERSION: &str = "v23.0";
/// Without a token of its own the sandbox is given this one.
const SANDBOX_TOKEN: &str = "sandbox";
/// How many messages one statement makes due: well within its time limit.
const DUE_BATCH: i64 = 5_000;
/// Together with [`DUE_BATCH`] more than any backlog that is accepted.
const DUE_ROUNDS: u32 = 2_000;

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
    },
    /// End a pause; what waited leaves at once.
    Resume {
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
    /// Replace the access token, for example after it has expired.
    SetToken {
        #[command(flatten)]
        which: Which,
        /// The name of the environment variable that holds the access token.
        #[arg(long, value_name = "VAR", value_parser = parse::variable)]
        token_env: String,
    },
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

/// `gateway admin instance create`.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Whose instance it is.
    #[arg(long, value_parser = parse::account_id)]
    pub account: i64,
    /// The id customers name in their requests.
    #[arg(long, value_parser = parse::instance_id)]
    pub id: String,
    /// For people, and in webhooks.
    #[arg(long, value_parser = parse::name)]
    pub name: String,
    /// Whose wire it speaks.
    #[arg(long)]
    pub provider: Provider,
    /// Where the provider is, with the API's version; one without a path gets /v23.0.
    #[arg(long, value_parser = parse::base_url)]
    pub base_url: Option<Url>,
    /// Meta's id of the business number.
    #[arg(long, value_parser = parse::phone_number_id)]
    pub phone_number_id: Option<String>,
    /// The name of the environment variable that holds the access token.
    #[arg(long, value_name = "VAR", value_parser = parse::variable)]
    pub token_env: Option<String>,
    /// How often it may send: COUNT/[N]UNIT, for example 20/s, 1/6s or 30/min,burst=3.
    #[arg(long, default_value_t = DEFAULT_RATE)]
    pub rate: Rate,
}

/// What the arguments left open, settled.
#[derive(Debug, PartialEq, Eq)]
struct Settled {
    base_url: String,
    token: String,
}

impl Create {
    /// Checks what single arguments cannot tell, and fills in the defaults.
    fn settle(&self, environment: Environment, lookup: Lookup<'_>) -> Result<Settled, AdminError> {
        let default_url = match self.provider {
            Provider::Meta => "https://graph.facebook.com",
            Provider::Sandbox if environment == Environment::Production => {
                return refused("--provider sandbox is not allowed, because GATEPOST_ENV is production");
            }
            Provider::Sandbox => "http://127.0.0.1:8090",
            Provider::Evolution => {
                return refused("--provider evolution cannot deliver yet: allowed are meta and sandbox");
            }
        };
        if self.phone_number_id.is_none() {
            return refused(&format!("--phone-number-id is required for {}", self.provider.as_str()));
        }
        let given = self.base_url.as_ref().map_or(default_url, Url::as_str).trim_end_matches('/');
        if environment == Environment::Production && !given.starts_with("https://") {
            return refused("--base-url must be https, because GATEPOST_ENV is production");
        }
        let has_path = self.base_url.as_ref().is_some_and(|url| !url.path().trim_matches('/').is_empty());
        let base_url = if has_path { given.to_owned() } else { format!("{given}/{API_VERSION}") };
        Ok(Settled { base_url, token: self.token(lookup)? })
    }

    fn token(&self, lookup: Lookup<'_>) -> Result<String, AdminError> {
        match (&self.token_env, self.provider) {
            (Some(variable), _) => token_in(variable, lookup),
            (None, Provider::Sandbox) => Ok(SANDBOX_TOKEN.to_owned()),
            (None, Provider::Meta | Provider::Evolution) => {
                refused("--token-env is required: the NAME of the variable that holds the access token")
            }
        }
    }
}

/// The access token in the environment's variable.
fn token_in(variable: &str, lookup: Lookup<'_>) -> Result<String, AdminError> {
    let token = lookup(variable).map(|token| token.trim().to_owned()).unwrap_or_default();
    if token.is_empty() {
        return refused(&format!("--token-env: the variable {variable} is not set"));
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return refused(&format!("--token-env: what the variable {variable} holds is not a token"));
    }
    Ok(token)
}

fn refused<T>(problem: &str) -> Result<T, AdminError> {
    Err(AdminError::Arguments(problem.to_owned()))
}

/// Makes an instance with the empty schedules of both lanes.
///
/// # Errors
/// [`AdminError`]: arguments that do not fit, no such account, an id or a number that is taken.
pub async fn create(admin: &Admin, new: &Create) -> Result<(), AdminError> {
    let Settled { base_url, token } = new.settle(admin.environment, &config::environment)?;
    let sealed = admin.secret_key.seal(&token_context(new.account, &new.id), token.as_bytes());
    let row = NewInstance {
        account_id: new.account,
        instance_id: &new.id,
        name: &new.name,
        provider: new.provider,
        base_url: &base_url,
        phone_number_id: new.phone_number_id.as_deref(),
        token_sealed: &sealed,
        rate: new.rate,
    };
    let mut session = admin.session().await?;
    let transaction = session.begin().await?;
    instances::insert(&transaction, &row).await.map_err(|error| taken_or(error, new))?;
    instances::insert_pacing(&transaction, new.account, &new.id).await?;
    Ok(transaction.commit().await?)
}

fn taken_or(error: StoreError, new: &Create) -> AdminError {
    match error.constraint() {
        Some(INSTANCE_ID_TAKEN) => {
            AdminError::Taken(format!("account {} has an instance `{}` already", new.account, new.id))
        }
        Some(PHONE_NUMBER_TAKEN) => {
            AdminError::Taken("--phone-number-id belongs to another instance already".to_owned())
        }
        _ => insert_error(error, new.account),
    }
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Create(new) => {
            create(admin, &new).await?;
            Ok(done(&new.id, "created"))
        }
        Command::Pause { which, reason } => {
            let session = admin.session().await?;
            let found = instances::pause(&session, which.account, &which.id, reason.as_deref()).await?;
            which.require(found, &session).await?;
            Ok(done(&which.id, "is paused"))
        }
        Command::Resume { which } => {
            let session = admin.session().await?;
            let found = instances::resume(&session, which.account, &which.id).await?;
            which.require(found, &session).await?;
            which.wake(&session).await?;
            Ok(done(&which.id, "is not paused any more"))
        }
        Command::SetConnection { which, state } => {
            let session = admin.session().await?;
            let found = instances::set_connection(&session, which.account, &which.id, state).await?;
            which.require(found, &session).await?;
            if state == Connection::Open {
                which.wake(&session).await?;
            }
            Ok(done(&which.id, &format!("has the connection {}", state.as_str())))
        }
        Command::SetRate { which, rate } => {
            let session = admin.session().await?;
            let found = instances::set_rate(&session, which.account, &which.id, rate).await?;
            which.require(found, &session).await?;
            Ok(done(&which.id, &format!("sends {rate}")))
        }
        Command::SetToken { which, token_env } => {
            let token = token_in(&token_env, &config::environment)?;
            let sealed = admin.secret_key.seal(&token_context(which.account, &which.id), token.as_bytes());
            let session = admin.session().await?;
            let found = instances::set_token(&session, which.account, &which.id, &sealed).await?;
            which.require(found, &session).await?;
            Ok(done(&which.id, "has a new token"))
        }
        Command::List { account } => {
            Ok(list(&instances::list(&admin.session_of(account).await?, account).await?))
        }
    }
}

impl Which {
    async fn require(&self, found: bool, session: &Session) -> Result<(), AdminError> {
        if found {
            return Ok(());
        }
        require_account(session, self.account).await?;
        Err(AdminError::Nothing { account_id: self.account, what: format!("instance `{}`", self.id) })
    }

    /// Makes due what waited for this instance, in statements of their own: workers must find the instance's new
    /// state, and no statement may take long.
    async fn wake(&self, session: &Session) -> Result<(), AdminError> {
        for _ in 0..DUE_ROUNDS {
            if instances::make_due(session, self.account, &self.id, DUE_BATCH).await? == 0 {
                break;
            }
        }
        Ok(())
    }
}

fn done(id: &str, what: &str) -> Answer {
    Answer::done(id, format!("instance `{id}` {what}"))
}

fn list(rows: &[InstanceRow]) -> Answer {
    let heads = ["id", "name", "provider", "number id", "connection", "paused", "rate", "address"];
    Answer::list(rows, heads, |row| {
        [
            row.instance_id.clone(),
            row.name.clone(),
            row.provider.clone(),
            or_dash(row.phone_number_id.as_ref()),
            row.connection.clone(),
            or_dash(row.paused_at),
            row.rate.clone(),
            row.base_url.clone(),
        ]
    })
}

#[cfg(test)]
mod tests;
