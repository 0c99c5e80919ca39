//! `gateway admin instance check` and `set-outside-window`: what only numbers of Meta's have.

use serde::Serialize;

use super::{Which, done};
use crate::admin::answer::{Answer, or_dash};
use crate::admin::{Admin, AdminError};
use crate::domain::instance::OutsideWindow;
use crate::providers::ClientSettings;
use crate::providers::meta::{MetaClient, Number, Sender};
use crate::store::instances;
use crate::store::senders::token_context;

/// What Meta says of a number.
#[derive(Serialize)]
struct Checked<'a> {
    id: &'a str,
    #[serde(flatten)]
    number: &'a Number,
}

/// Asks Meta about the number, with the instance's token.
pub(super) async fn check(admin: &Admin, which: &Which) -> Result<Answer, AdminError> {
    let session = admin.session().await?;
    let found = instances::meta(&session, which.key()).await?;
    which.require(found.is_some(), &session).await?;
    let Some(instance) = found.flatten() else {
        return Err(AdminError::Arguments("check is for numbers of Meta's".to_owned()));
    };
    drop(session);
    let provider = |problem: String| AdminError::Provider(problem);
    let context = token_context(which.account, &which.id);
    let token = admin.secret_key.open(&context, &instance.token_sealed);
    let token = token.map_err(|error| provider(error.to_string()))?;
    let client = MetaClient::new(&ClientSettings::default()).map_err(|error| provider(error.to_string()))?;
    let sender = Sender {
        base_url: &instance.base_url,
        phone_number_id: &instance.phone_number_id,
        token: &String::from_utf8_lossy(&token),
    };
    let number = client.look(&sender).await.map_err(|error| provider(error.to_string()))?;
    let text = format!(
        "instance `{}` is the number {} of {}; quality {}, throughput {}",
        which.id,
        or_dash(number.display_phone_number.as_ref()),
        or_dash(number.verified_name.as_ref()),
        or_dash(number.quality_rating.as_ref()),
        or_dash(number.throughput.as_ref()),
    );
    Ok(Answer::whole(&Checked { id: &which.id, number: &number }, text))
}

/// Says what becomes of free text outside the window.
pub(super) async fn set_outside_window(
    admin: &Admin,
    which: &Which,
    outside_window: OutsideWindow,
) -> Result<Answer, AdminError> {
    let session = admin.session().await?;
    let set = instances::set_outside_window(&session, which.key(), outside_window).await?;
    if !set && instances::evolution(&session, which.key()).await?.flatten().is_some() {
        return Err(AdminError::Arguments("an evolution instance has no 24-hour window".to_owned()));
    }
    which.require(set, &session).await?;
    Ok(done(&which.id, &format!("lets free text outside the window {}", outside_window.as_str())))
}
