//! Requests that no honest customer sends: each gets a clear error in the one shape, in time, and the gateway stays well.

mod contents;
mod wire;

pub use contents::{
    hostile_fields_are_named, hostile_json_is_refused, hostile_media_are_named,
    hostile_media_types_are_refused,
};
pub use wire::{
    hostile_bytes_do_no_harm, hostile_headers_are_refused, hostile_sizes_are_refused,
    hostile_slow_bodies_are_given_up,
};

use serde_json::{Value, json};

use crate::support::process::{Binary, Process};
use crate::support::services::Services;
use crate::support::wire::Wire;
use crate::support::world::{Answer, Customer, World, answer};

/// A customer, and the gateway that is maltreated.
struct Scene {
    world: World,
    gateway: Process,
    customer: Customer,
}

impl Scene {
    async fn new(services: &Services) -> Self {
        let mut world = World::new(services).await;
        world.set("GATEPOST_BODY_TIMEOUT_MS", 500);
        let gateway = world.start(Binary::Gateway).await;
        let customer = world.customer().await;
        Self { world, gateway, customer }
    }

    async fn connect(&self) -> Wire {
        Wire::connect(&self.world.gateway_url()).await
    }

    /// The head of a send, up to the lines that say how long its body is.
    fn head(&self, rest: &str) -> Vec<u8> {
        let key = &self.customer.key;
        format!(
            "POST /api/send-message HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\nauthorization: Bearer {key}\r\n{rest}\r\n"
        )
        .into_bytes()
    }

    /// Sends these bytes as a body of JSON.
    async fn post(&self, body: impl Into<reqwest::Body>) -> Answer {
        answer(self.customer.request(&Value::Null).body(body)).await
    }

    /// Sends an ordinary message with one field changed.
    async fn changed(&self, field: &str, value: Value) -> Answer {
        let mut body = self.customer.message("+966500010001");
        body[field] = value;
        self.customer.send(&body).await
    }

    /// The gateway still serves, and nothing in it panicked.
    async fn still_well(&self, phone: &str) {
        self.customer.accepted(phone).await;
        assert_eq!(self.gateway.ready().await.map(|(status, _)| status), Some(200));
        let log = self.gateway.log();
        assert!(!log.contains("panicked"), "{log}");
    }
}

/// The answer is this error in the one shape, its members in the catalogue's order, and nothing else.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, error: &str, what: &str) {
    assert_eq!((answer.status, answer.error()), (status, error), "{what}: {}", answer.text);
    let members: Vec<&str> = ["success", "error", "message", "details"]
        .into_iter()
        .filter(|member| answer.body.get(member).is_some())
        .collect();
    assert_eq!(members.len(), answer.body.as_object().map_or(0, serde_json::Map::len), "{what}");
    assert_eq!(answer.body["success"], false, "{what}");
    let message = answer.body["message"].as_str().unwrap_or_default();
    assert!(message.len() > 10, "{what}: {message}");
    let start = format!(r#"{{"success":false,"error":"{error}","message":"{message}","details":"#);
    assert!(answer.text.starts_with(&start), "{what}: {}", answer.text);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.header("x-request-id").map(str::len), Some(32), "{what}");
}

/// Names exactly these fields.
#[track_caller]
fn assert_fields(answer: &Answer, fields: &[&str], what: &str) {
    assert_refused(answer, 422, "validation_error", what);
    assert_eq!(answer.body["details"], json!({ "fields": fields }), "{what}");
}
