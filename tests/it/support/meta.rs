//! Meta's side of the callbacks: bodies of its shape, signed as it signs them.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio_postgres::Client;

use super::eventually;
use super::world::{APP_SECRET, Customer, World};

/// The value of `X-Hub-Signature-256`.
pub fn signature(app_secret: &str, body: &[u8]) -> String {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(app_secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

/// Posts a body with that signature, or with none; gives the status of the answer.
pub async fn post_signed(gateway_url: &str, body: Vec<u8>, signature: Option<&str>) -> u16 {
    let mut request = super::http().post(format!("{gateway_url}/callbacks/meta")).body(body);
    if let Some(signature) = signature {
        request = request.header("x-hub-signature-256", signature);
    }
    request.send().await.expect("the gateway answers").status().as_u16()
}

/// Posts a callback with its right signature; it must be taken.
pub async fn post(gateway_url: &str, body: &Value) {
    let body = body.to_string().into_bytes();
    let signature = signature(APP_SECRET, &body);
    assert_eq!(post_signed(gateway_url, body, Some(&signature)).await, 200);
}

/// A callback about a sender: `items` under `kind` (`statuses`, `messages`, `user_preferences` or `message_echoes`).
pub fn callback(customer: &Customer, kind: &str, items: &Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "966551112222", "phone_number_id": customer.phone_number_id},
    });
    value[kind] = items.clone();
    let field = match kind {
        "user_preferences" => kind,
        "message_echoes" => "smb_message_echoes",
        _ => "messages",
    };
    json!({"object": "whatsapp_business_account", "entry": [
        {"id": "700100200300400", "changes": [{"field": field, "value": value}]}]})
}

/// A callback with one status of a message, by the provider's id of it and, where given, by our own mark.
pub fn status(customer: &Customer, provider_id: &str, word: &str, mark: Option<&str>) -> Value {
    let mut item = json!({"id": provider_id, "status": word, "timestamp": "1769904001"});
    if let Some(mark) = mark {
        item["biz_opaque_callback_data"] = mark.into();
    }
    if word == "failed" {
        item["errors"] = json!([{"code": 131_026, "title": "Message undeliverable"}]);
    }
    callback(customer, "statuses", &json!([item]))
}

/// A callback with a text that somebody wrote.
pub fn text(customer: &Customer, from: &str, id: &str, words: &str) -> Value {
    let item =
        json!({"from": from, "id": id, "timestamp": "1769904100", "type": "text", "text": {"body": words}});
    callback(customer, "messages", &json!([item]))
}

/// Waits until every callback that was taken has had its effect.
pub async fn all_applied(database: &Client) {
    eventually("every callback is applied", async || {
        let sql = "select count(*) from callbacks where due_at is not null";
        let open: i64 = database.query_one(sql, &[]).await.expect("the database answers").get(0);
        (open == 0).then_some(())
    })
    .await;
}

impl World {
    /// Posts a callback to the first gateway and waits until it has had its effect.
    pub async fn report(&self, database: &Client, body: &Value) {
        post(&self.gateway_url(), body).await;
        all_applied(database).await;
    }
}
