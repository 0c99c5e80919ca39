//! `gateway admin api-key …`.

use uuid::Uuid;

use super::answer::{Answer, or_dash};
use super::{Admin, AdminError, MadeSecret, insert_error, parse, require_account};
use crate::runtime::secrets;
use crate::store::accounts::{self, NewApiKey};

/// How many characters of a key are stored, to tell keys apart: the prefix and four of the random ones.
const HINT_CHARACTERS: usize = 12;

/// `gateway admin api-key …`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key.
    Create(Create),
    /// Revoke a key, for good.
    Revoke {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
        /// The key's id, as `create` and `list` give it.
        #[arg(long, value_name = "KEY_ID")]
        id: Uuid,
    },
    /// Show an account's keys.
    List {
        /// The account's id.
        #[arg(long, value_parser = parse::account_id)]
        account: i64,
    },
}

/// `gateway admin api-key create`.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// Whose key it is.
    #[arg(long, value_parser = parse::account_id)]
    pub account: i64,
    /// For people.
    #[arg(long, default_value = "default", value_parser = parse::name)]
    pub name: String,
}

/// Makes a key.
///
/// # Errors
/// [`AdminError::NoAccount`], [`AdminError::Store`].
pub async fn create(admin: &Admin, new: &Create) -> Result<MadeSecret<Uuid>, AdminError> {
    let secret = secrets::new_api_key();
    let id = Uuid::now_v7();
    let key = NewApiKey {
        account_id: new.account,
        key_id: id,
        name: &new.name,
        hint: &secret[..HINT_CHARACTERS],
        key_hash: &secrets::api_key_hash(&secret),
    };
    accounts::insert_key(&admin.session().await?, &key)
        .await
        .map_err(|error| insert_error(error, new.account))?;
    Ok(MadeSecret { id, secret })
}

pub(super) async fn run(admin: &Admin, command: Command) -> Result<Answer, AdminError> {
    match command {
        Command::Create(new) => {
            let MadeSecret { id, secret } = create(admin, &new).await?;
            Ok(Answer::made(id, &secret, &format!("API key {id} created")))
        }
        Command::Revoke { account, id } => {
            let session = admin.session().await?;
            if accounts::revoke_key(&session, account, id).await? {
                return Ok(Answer::done(id, format!("API key {id} is revoked")));
            }
            require_account(&session, account).await?;
            Err(AdminError::Nothing { account_id: account, what: format!("API key {id}") })
        }
        Command::List { account } => {
            let rows = accounts::list_keys(&admin.session_of(account).await?, account).await?;
            Ok(Answer::list(&rows, ["id", "name", "begins", "created", "revoked"], |row| {
                [
                    row.key_id.to_string(),
                    row.name.clone(),
                    row.hint.clone(),
                    row.created_at.to_string(),
                    or_dash(row.revoked_at),
                ]
            }))
        }
    }
}
