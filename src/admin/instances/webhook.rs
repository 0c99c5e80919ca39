//! `gateway admin instance register-webhook`: has an Evolution server report to this gateway.

use reqwest::Url;

use super::Which;
use crate::admin::answer::Answer;
use crate::admin::{Admin, AdminError, parse};
use crate::config::Environment;
use crate::providers::ClientSettings;
use crate::providers::evolution::{EvolutionClient, Sender, Vouching};
use crate::runtime::secrets;
use crate::store::Session;
use crate::store::instances::{self, CallbackAddress, EvolutionRow};
use crate::store::senders::{callback_context, token_context};

/// Where gateways take what Evolution servers report; the instance's token follows.
const PATH: [&str; 2] = ["callbacks", "evolution"];

/// `gateway admin instance register-webhook`.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::admin) struct Register {
    #[command(flatten)]
    which: Which,
    /// Where the Evolution server reaches this gateway, for example <https://gateway.example>; /callbacks/evolution and a
    /// token are appended.
    #[arg(long, value_name = "URL", value_parser = parse::base_url)]
    callback_url: Url,
    /// What vouches for an event besides the address.
    #[arg(long, value_enum, default_value_t = Auth::Token)]
    auth: Auth,
}

/// What the server sends with each event.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Auth {
    /// The token that is in the address, in the header X-Gateway-Token.
    Token,
    /// A JSON Web Token that it signs with a key of this instance's, for each event; servers from 2.3.0 on.
    Jwt,
}

/// Gives the instance a new callback token and registers the address with it.
pub(super) async fn register(admin: &Admin, register: &Register) -> Result<Answer, AdminError> {
    let Register { which, callback_url, auth } = register;
    if admin.environment == Environment::Production && callback_url.scheme() != "https" {
        return refused("--callback-url must be https, because GATEPOST_ENV is production");
    }
    let session = admin.session().await?;
    let found = instances::evolution(&session, which.key()).await?;
    which.require(found.is_some(), &session).await?;
    let Some(instance) = found.flatten() else {
        return refused("register-webhook is for instances of Evolution servers; Meta's are set in its app");
    };
    let key = open(admin, which, &instance)?;
    let (token, jwt_key) = (secrets::new_callback_token(), secrets::new_callback_token());
    let (vouching, jwt_key_sealed) = match auth {
        Auth::Token => (Vouching::Token(&token), None),
        Auth::Jwt => {
            let context = callback_context(which.account, &which.id);
            (Vouching::JwtKey(&jwt_key), Some(admin.secret_key.seal(&context, jwt_key.as_bytes())))
        }
    };
    let url = address(callback_url, &token)?;
    let client = EvolutionClient::new(&ClientSettings::default())
        .map_err(|error| AdminError::Provider(error.to_string()))?;
    let sender = Sender { base_url: &instance.base_url, instance: &instance.provider_instance, token: &key };
    // Before the server is told, because it never repeats what is answered 401; the address before stays good for a while.
    let new = CallbackAddress { token_hash: Some(secrets::sha256(token.as_bytes())), jwt_key_sealed };
    instances::set_callback_address(&session, which.key(), &new).await?;
    if let Err(error) = client.set_webhook(&sender, url.as_str(), vouching).await {
        put_back(&session, which, &instance).await?;
        let problem = format!("the Evolution server did not take the webhook: {error}; run this again");
        return Err(AdminError::Provider(problem));
    }
    Ok(Answer::made(
        &which.id,
        &token,
        &format!("instance `{}` reports to {}", which.id, shown(callback_url)),
    ))
}

/// What was registered before is still at work, unless the server took the new address without saying so: that one stays
/// good for a while.
async fn put_back(session: &Session, which: &Which, instance: &EvolutionRow) -> Result<(), AdminError> {
    Ok(instances::set_callback_address(session, which.key(), &instance.callback).await?)
}

fn open(admin: &Admin, which: &Which, instance: &EvolutionRow) -> Result<String, AdminError> {
    let context = token_context(which.account, &which.id);
    let key = admin.secret_key.open(&context, &instance.token_sealed);
    let key = key.map_err(|error| AdminError::Provider(error.to_string()))?;
    Ok(String::from_utf8_lossy(&key).into_owned())
}

/// The whole address. The path of ours may be part of what was given.
fn address(base: &Url, token: &str) -> Result<Url, AdminError> {
    let mut url = base.clone();
    let given = url.path().trim_end_matches('/').ends_with(&format!("/{}", PATH.join("/")));
    match url.path_segments_mut() {
        Ok(mut segments) => {
            segments.pop_if_empty().extend(if given { &[][..] } else { &PATH[..] }).push(token);
        }
        Err(()) => return refused("--callback-url cannot be an address with a path"),
    }
    Ok(url)
}

/// The address without the token, which is shown by itself.
fn shown(base: &Url) -> String {
    base.origin().ascii_serialization()
}

fn refused<T>(problem: &str) -> Result<T, AdminError> {
    Err(AdminError::Arguments(problem.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn the_path_is_appended_once() {
        for (given, whole) in [
            ("https://gate.example", "https://gate.example/callbacks/evolution/t0k"),
            ("https://gate.example/", "https://gate.example/callbacks/evolution/t0k"),
            ("https://gate.example/wa", "https://gate.example/wa/callbacks/evolution/t0k"),
            ("https://gate.example/callbacks/evolution", "https://gate.example/callbacks/evolution/t0k"),
            ("http://127.0.0.1:8080/callbacks/evolution/", "http://127.0.0.1:8080/callbacks/evolution/t0k"),
        ] {
            assert_eq!(address(&given.parse().unwrap(), "t0k").unwrap().as_str(), whole);
        }
    }
}
