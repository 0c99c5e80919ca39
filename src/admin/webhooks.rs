//! `gateway admin webhook …`.

use reqwest::Url;
use uuid::Uuid;

use super::answer::{Answer, or_dash};
use super::{Admin, AdminError, MadeSecret, insert_error, parse, require_account};
use crate::config::Environment;
use crate::domain::event::Kind;
use crate::runtime::secrets;
use crate::store::endpoints::{self, NewEndpoint};
use crate::store::webhooks::secret_context;

/// `gateway admin webhook …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make an endpoint.
    Create(Create),
    /// Remove an endpoint.
    Delete {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// The endpoint's id, as `create` and `list` give it.
        #[arg(long, value_name = "ENDPOINT_ID")]
        id: Uuid,
    },
    /// Show an account's endpoints.
    List {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
    },
}

/// `gateway admin webhook create`.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Whose endpoint it is.
    #[arg(long, value_parser = parse::account_id)]
    pub account: i64,
    /// Where events are posted to; https in production.
    #[arg(long, value_parser = parse::url)]
    pub url: Url,
    /// The kinds of event wanted, separated by commas; all where not given.
    #[arg(long, value_delimiter = ',')]
    pub events: Vec<Kind>,
}

/// Makes an endpoint.
///
/// # Errors
/// [`AdminError::Arguments`], [`AdminError::NoAccount`], [`AdminError::Store`].
pub async fn create(admin: &Admin, new: &Create) -> Result<MadeSecret<Uuid>, AdminError> {
    if admin.environment == Environment::Production && new.url.scheme() != "https" {
        return Err(AdminError::Arguments("--url must be https, because GATEPOST_ENV is production".into()));
    }
    let id = Uuid::now_v7();
    let secret = secrets::new_webhook_secret();
    let sealed = admin.secret_key.seal(&secret_context(new.account, id), secret.as_bytes());
    let mut events: Vec<&str> = new.events.iter().map(|kind| kind.as_str()).collect();
    events.sort_unstable();
    events.dedup();
    let endpoint = NewEndpoint {
        account_id: new.account,
        endpoint_id: id,
        url: new.url.as_str(),
        events: (!events.is_empty()).then_some(&events),
        secret_sealed: &sealed,
    };
    endpoints::insert(&admin.session().await?, &endpoint)
        .await
        .map_err(|error| insert_error(error, new.account))?;
    Ok(MadeSecret { id, secret })
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Create(new) => {
            let MadeSecret { id, secret } = create(admin, &new).await?;
            Ok(Answer::made(id, &secret, &format!("webhook endpoint {id} created")))
        }
        Command::Delete { account, id } => {
            let session = admin.session().await?;
            if endpoints::delete(&session, account, id).await? {
                return Ok(Answer::done(id, format!("webhook endpoint {id} is deleted")));
            }
            require_account(&session, account).await?;
            Err(AdminError::Nothing { account_id: account, what: format!("webhook endpoint {id}") })
        }
        Command::List { account } => {
            let rows = endpoints::list(&admin.session_of(account).await?, account).await?;
            Ok(Answer::list(&rows, ["id", "url", "events", "failing since", "disabled"], |row| {
                [
                    row.endpoint_id.to_string(),
                    row.url.clone(),
                    row.events.as_ref().map_or_else(|| "all".to_owned(), |events| events.join(",")),
                    or_dash(row.failing_since),
                    or_dash(row.disabled_reason.as_ref()),
                ]
            }))
        }
    }
}
