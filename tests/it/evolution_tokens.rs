//! What vouches for Evolution's callbacks, and what of them is kept.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gatepost::runtime::clock::Clock;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::desk::Desk;
use crate::support::evolution::{Stage, wire};
use crate::support::http;
use crate::support::meta::all_applied;
use crate::support::process::Binary;
use crate::support::rows::count;
use crate::support::services::Services;
use crate::support::world::World;

/// A token as Evolution makes them, that ends so many seconds from now.
fn token(key: &str, algorithm: &str, ends_in: i64) -> String {
    let now = Clock::system().now().as_second();
    let claims =
        json!({"iat": now + ends_in - 600, "exp": now + ends_in, "app": "evolution", "action": "webhook"});
    let header = json!({"alg": algorithm, "typ": "JWT"});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Registered so, events count only with a token that was signed with the instance's key, which is stored encrypted, for as
/// long as the server repeats an event with the same one.
pub async fn tokens_vouch_for_events_where_that_is_asked_for(services: &Services) {
    let stage = Stage::new(services).await;
    let address = stage.register(&["--auth", "jwt"]).await;
    let headers = stage.server.asked("set").remove(0).body["webhook"]["headers"].clone();
    let key = headers["jwt_key"].as_str().expect("a key").to_owned();
    assert_eq!((headers.as_object().expect("an object").len(), key.len()), (1, 43));
    assert!(!address.contains(&key));
    let database = stage.world.database().await;
    let sealed = "select callback_jwt_key_sealed from instances where instance_id = 'evo'";
    let sealed: Vec<u8> = database.query_one(sealed, &[]).await.expect("it is stored").get(0);
    assert!(!sealed.windows(key.len()).any(|window| window == key.as_bytes()));

    let post = async |authorization: Option<&str>| {
        let body = json!({"event": "connection.update", "data": {"state": "connecting"}, "n": rand::random::<u64>()});
        let request = stage.customer.http.post(&address).json(&body);
        let request = match authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        };
        request.send().await.expect("the gateway answers").status().as_u16()
    };
    let bearer = |key: &str, algorithm: &str, ends_in| format!("Bearer {}", token(key, algorithm, ends_in));
    for refused in [
        None,
        Some("Bearer".to_owned()),
        Some("Bearer x.y.z".to_owned()),
        Some(format!("Bearer {key}")),
        Some(format!("Basic {}", token(&key, "HS256", 600))),
        Some(bearer("another-key", "HS256", 600)),
        Some(bearer(&key, "none", 600)),
        Some(bearer(&key, "HS256", -31 * 60)),
    ] {
        assert_eq!(post(refused.as_deref()).await, 401, "{refused:?}");
    }
    assert_eq!(count(&database, "select count(*) from callbacks").await, 0);
    assert_eq!(stage.connection().await, "open");
    // The last repeats of an event come when its token has ended.
    for ends_in in [600, 0, -29 * 60] {
        assert_eq!(post(Some(&bearer(&key, "HS256", ends_in))).await, 200, "{ends_in}");
    }
    assert_eq!(post(Some(&format!("bearer {}", token(&key, "HS256", 600)))).await, 200);
    stage.wait_for_connection("connecting").await;

    // With another registration the address is enough again. What the server still sends to the old one is taken as before,
    // until that is nobody's.
    let plain = stage.register(&[]).await;
    let open = json!({"state": "open"});
    assert_eq!(stage.report(&plain, "connection.update", &open).await, 200);
    stage.wait_for_connection("open").await;
    assert_eq!(post(Some(&bearer(&key, "HS256", 600))).await, 200);
    assert_eq!(post(None).await, 401);
    let over = "update instances set previous_callback_until = now()
        where previous_callback_until between now() + interval '59 minutes' and now() + interval '1 hour'";
    assert_eq!(database.execute(over, &[]).await.expect("it can be set"), 1);
    assert_eq!(post(Some(&bearer(&key, "HS256", 600))).await, 401);

    // What the server does not take leaves the old way in force.
    stage.server.answer_webhooks(500);
    let url = stage.world.gateway_url();
    let arguments = ["instance", "register-webhook", "--account", &stage.customer.account, "--id", "evo"];
    let (code, ..) =
        stage.world.run_admin(&[&arguments[..], &["--callback-url", &url, "--auth", "jwt"]].concat()).await;
    assert_eq!(code, 1);
    assert_eq!(stage.report(&plain, "connection.update", &open).await, 200);
}

/// The server's keys, which bodies may carry, are not stored, and of what holds other secrets nothing is; the headers of any
/// version make no difference.
pub async fn tokens_and_keys_are_not_kept(services: &Services) {
    let world = World::new(services).await;
    let gateway = world.start(Binary::Gateway).await;
    let database = world.database().await;
    let desk = Desk::open(&database).await;
    let leaking = wire("error_webhook_leaks_global_key");
    desk.post(&world, &leaking).await;
    assert_eq!(count(&database, "select count(*) from callbacks").await, 0);
    let mut body = crate::support::desk::sample("connection_connecting");
    body["apikey"] = json!("the-instances-own-key");
    desk.report(&world, &database, &body).await;
    let sql = "select count(*) from callbacks where position('the-instances-own-key' in convert_from(body, 'UTF8')) = 0";
    assert_eq!(count(&database, sql).await, 1);
    assert_eq!(desk.effect(&database).await, "connecting by provider, told instance.connection_updated");
    let global = leaking["api_key"].as_str().expect("a key");
    assert!(!gateway.log().contains(global) && !gateway.log().contains("the-instances-own-key"));

    for (version, headers) in wire("webhook_request_headers_by_version").as_object().expect("an object") {
        let url = format!("{}/callbacks/evolution/{}", world.gateway_url(), desk.token);
        let mut request = http().post(url);
        for (name, value) in headers.as_object().expect("an object") {
            request = request.header(name, value.as_str().expect("a text"));
        }
        let state = json!({"event": "connection.update", "data": {"state": "open"}, "version": version});
        let answer = request.body(state.to_string()).send().await.expect("the gateway answers");
        assert_eq!(answer.status().as_u16(), 200, "{version}");
        all_applied(&database).await;
        assert_eq!(
            desk.effect(&database).await,
            "open by provider, told instance.connection_updated",
            "{version}"
        );
        database.execute("update instances set connection = 'close'", &[]).await.expect("it can be set");
    }
}
