//! A copy of the database in the wrong hands: no secret can be read in it, in whatever form, though all of them are in use.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use crate::support::evolution::{KEY, Stage};
use crate::support::rows::{dump, wait_for_count};
use crate::support::services::Services;
use crate::support::world::{APP_SECRET, SECRET_KEY, VERIFY_TOKEN};

const META_TOKEN: &str = "EAAGm0PX4ZCpsBA-unmistakable-token";

/// How a secret may be written: as it is, in base64 of every kind and at every offset in a longer text, and in
/// hexadecimal digits of either case.
fn forms(secret: &[u8]) -> Vec<String> {
    let mut forms = vec![hex::encode(secret), hex::encode_upper(secret)];
    forms.extend(String::from_utf8(secret.to_vec()));
    for before in 0..3 {
        let shifted = [&vec![b'.'; before][..], secret].concat();
        for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            let text = engine.encode(&shifted);
            // The first and the last letters depend on what stands beside it.
            forms.push(text[4..text.len() - 4].to_owned());
        }
    }
    forms
}

/// The random part of an API key.
fn key_part(key: &str) -> String {
    key["gp_live_".len()..].to_owned()
}

/// What is behind a text that is written in base64.
fn raw(text: &str) -> Vec<u8> {
    STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).expect("base64")
}

/// API keys (one of them revoked), providers' tokens, webhook secrets, callback tokens of two registrations, a key for
/// their JSON Web Tokens and the processes' own secrets: made by the commands, all used, and then looked for in every row
/// of every table.
pub async fn secrets_are_unreadable_in_a_dump(services: &Services) {
    let mut stage = Stage::new(services).await;
    stage.world.set("SHOP_TOKEN", META_TOKEN);
    let (account, customer) = (stage.customer.account.clone(), stage.customer.clone());
    let own = ["instance", "create", "--account", &account, "--id", "second", "--name", "Second"];
    let url = stage.world.sandbox_url.clone();
    let provider =
        ["--provider", "sandbox", "--phone-number-id", "42", "--base-url", &url, "--token-env", "SHOP_TOKEN"];
    stage.world.admin(&[&own[..], &provider[..]].concat()).await;
    let made = stage.world.admin(&["api-key", "create", "--account", &account]).await;
    let (revoked_id, revoked) =
        (made["id"].as_str().expect("a text"), made["secret"].as_str().expect("a text"));
    stage.world.admin(&["api-key", "revoke", "--account", &account, "--id", revoked_id]).await;
    let receiver = crate::support::receiver::Receiver::start().await;
    let hook = ["webhook", "create", "--account", &account, "--url", &receiver.url];
    let hook = stage.world.admin(&hook).await;
    let hook = hook["secret"].as_str().expect("a text").to_owned();
    receiver.trust(&hook);
    let first_address = stage.register(&[]).await;
    let address = stage.register(&["--auth", "jwt"]).await;
    let headers =
        stage.server.asked("set").pop().expect("the server is told").body["webhook"]["headers"].clone();
    let jwt_key = headers["jwt_key"].as_str().expect("a key").to_owned();
    let token = |address: &str| address.rsplit('/').next().expect("a token").to_owned();

    // All are used: keys, both providers' tokens, the webhook's secret, the addresses.
    let mut second = customer.clone();
    "second".clone_into(&mut second.instance);
    let messages = [customer.accepted("+966500010003").await, second.accepted("+966500010001").await];
    stage.world.wait_for_status(&messages[0], &["sent", "delivered", "read"]).await;
    stage.world.wait_for_status(&messages[1], &["read"]).await;
    let state = serde_json::json!({"state": "open"});
    assert_eq!(stage.report(&first_address, "connection.update", &state).await, 200);
    assert_eq!(stage.report(&address, "connection.update", &state).await, 401, "without its token");
    let database = stage.world.database().await;
    wait_for_count(&database, "select count(*) from webhook_deliveries where status <> 'delivered'", 0).await;
    assert!(!receiver.received().is_empty() && receiver.received().iter().all(|webhook| webhook.verified));
    assert!(stage.server.asked("sendText").iter().all(|asked| asked.headers["apikey"] == KEY));

    let dump = dump(&database).await;
    for known in [&customer.key_id, revoked_id, "second", &receiver.url, &customer.key[..12], &messages[0]] {
        assert!(dump.contains(known), "the dump is one: {known}");
    }
    let texts = [
        customer.key.clone(),
        key_part(&customer.key),
        revoked.to_owned(),
        key_part(revoked),
        META_TOKEN.to_owned(),
        KEY.to_owned(),
        hook.clone(),
        hook.trim_start_matches("whsec_").to_owned(),
        token(&first_address),
        token(&address),
        jwt_key.clone(),
        SECRET_KEY.to_owned(),
        APP_SECRET.to_owned(),
        VERIFY_TOKEN.to_owned(),
    ];
    let encoded = [&texts[1], &texts[3], &texts[7], &texts[8], &texts[9], &texts[10], &texts[11]];
    let bytes = texts.iter().map(|text| text.clone().into_bytes());
    assert_unreadable(&dump, bytes.chain(encoded.map(|text| raw(text))));
}

fn assert_unreadable(dump: &str, secrets: impl Iterator<Item = Vec<u8>>) {
    for (n, secret) in secrets.enumerate() {
        for form in forms(&secret) {
            assert!(form.len() >= 8, "long enough to be found by no accident");
            assert!(!dump.contains(&form), "secret {n} is readable: {form}");
        }
    }
}
