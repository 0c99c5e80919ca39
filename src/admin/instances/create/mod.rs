//! `gateway admin instance create`: checks what single arguments cannot tell, and makes the instance.

use reqwest::Url;

use crate::admin::{Admin, AdminError, insert_error, parse};
use crate::config::{self, Environment, Lookup};
use crate::domain::instance::Provider;
use crate::domain::rate::Rate;
use crate::store::StoreError;
use crate::store::instances::{
    self, INSTANCE_ID_TAKEN, NewInstance, PHONE_NUMBER_TAKEN, PROVIDER_INSTANCE_TAKEN,
};
use crate::store::senders::token_context;

/// What Meta grants a number at first is 80/s; this leaves room for whatever else uses it.
const DEFAULT_RATE: Rate = Rate { interval_us: 50_000, burst: 1 };
/// Evolution limits nothing, and WhatsApp bans who sends unlike a person: about as fast as one who answers customers.
const EVOLUTION_RATE: Rate = Rate { interval_us: 3_000_000, burst: 3 };
/// The version of Meta's API, the first part of its paths.
const API_VERSION: &str = "v23.0";
/// Without a token of its own the sandbox is given this one.
const SANDBOX_TOKEN: &str = "sandbox";

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
    /// Where the provider is. Meta's has the API's version, and one without a path gets /v23.0; an Evolution server's has
    /// to be given.
    #[arg(long, value_parser = parse::base_url)]
    pub base_url: Option<Url>,
    /// Meta's id of the business number; not for evolution.
    #[arg(long, value_parser = parse::phone_number_id)]
    pub phone_number_id: Option<String>,
    /// The instance's name on its Evolution server; for evolution only.
    #[arg(long, value_name = "NAME", value_parser = parse::provider_instance)]
    pub provider_instance: Option<String>,
    /// The name of the environment variable that holds the access token, or the Evolution server's API key.
    #[arg(long, value_name = "VAR", value_parser = parse::variable)]
    pub token_env: Option<String>,
    /// How often it may send: COUNT/[N]UNIT, for example 20/s, 1/6s or 30/min,burst=3. Where not given 20/s, and
    /// 1/3s,burst=3 for evolution.
    #[arg(long)]
    pub rate: Option<Rate>,
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
        if self.provider == Provider::Sandbox && environment == Environment::Production {
            return refused("--provider sandbox is not allowed, because GATEPOST_ENV is production");
        }
        let base_url = match self.provider {
            Provider::Meta => self.versioned_url("https://graph.facebook.com")?,
            Provider::Sandbox => self.versioned_url("http://127.0.0.1:8090")?,
            Provider::Evolution => self.server_url()?,
        };
        if environment == Environment::Production && !base_url.starts_with("https://") {
            return refused("--base-url must be https, because GATEPOST_ENV is production");
        }
        Ok(Settled { base_url, token: self.token(lookup)? })
    }

    /// Where Meta's API is, or the sandbox that speaks its wire.
    fn versioned_url(&self, default_url: &str) -> Result<String, AdminError> {
        if self.phone_number_id.is_none() {
            return refused(&format!("--phone-number-id is required for {}", self.provider.as_str()));
        }
        if self.provider_instance.is_some() {
            return refused("--provider-instance is for evolution only");
        }
        let given = self.base_url.as_ref().map_or(default_url, Url::as_str).trim_end_matches('/');
        let has_path = self.base_url.as_ref().is_some_and(|url| !url.path().trim_matches('/').is_empty());
        Ok(if has_path { given.to_owned() } else { format!("{given}/{API_VERSION}") })
    }

    /// Where the Evolution server is.
    fn server_url(&self) -> Result<String, AdminError> {
        if self.phone_number_id.is_some() {
            return refused("--phone-number-id is for meta and sandbox only");
        }
        match (&self.base_url, &self.provider_instance) {
            (Some(url), Some(_)) => Ok(url.as_str().trim_end_matches('/').to_owned()),
            (None, _) => refused("--base-url is required for evolution: the server's address"),
            (_, None) => refused("--provider-instance is required for evolution: its name on the server"),
        }
    }

    fn token(&self, lookup: Lookup<'_>) -> Result<String, AdminError> {
        match (&self.token_env, self.provider) {
            (Some(variable), _) => token_in(variable, lookup),
            (None, Provider::Sandbox) => Ok(SANDBOX_TOKEN.to_owned()),
            (None, Provider::Meta | Provider::Evolution) => refused(
                "--token-env is required: the NAME of the variable that holds the access token or key",
            ),
        }
    }
}

/// The access token in the environment's variable.
pub(super) fn token_in(variable: &str, lookup: Lookup<'_>) -> Result<String, AdminError> {
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
        provider_instance: new.provider_instance.as_deref(),
        token_sealed: &sealed,
        rate: new.rate.unwrap_or(default_rate(new.provider)),
    };
    let mut session = admin.session().await?;
    let transaction = session.begin().await?;
    instances::insert(&transaction, &row).await.map_err(|error| taken_or(error, new))?;
    instances::insert_pacing(&transaction, new.account, &new.id).await?;
    Ok(transaction.commit().await?)
}

fn default_rate(provider: Provider) -> Rate {
    match provider {
        Provider::Meta | Provider::Sandbox => DEFAULT_RATE,
        Provider::Evolution => EVOLUTION_RATE,
    }
}

fn taken_or(error: StoreError, new: &Create) -> AdminError {
    match error.constraint() {
        Some(INSTANCE_ID_TAKEN) => {
            AdminError::Taken(format!("account {} has an instance `{}` already", new.account, new.id))
        }
        Some(PHONE_NUMBER_TAKEN) => {
            AdminError::Taken("--phone-number-id belongs to another instance already".to_owned())
        }
        Some(PROVIDER_INSTANCE_TAKEN) => {
            AdminError::Taken("--provider-instance belongs to another instance already".to_owned())
        }
        _ => insert_error(error, new.account),
    }
}

#[cfg(test)]
mod tests;
