//! What the readers of both payloads do with single values.

use serde_json::Value;

/// A text that is not empty. NUL characters go, because Postgres cannot store them in a text.
pub(super) fn text(value: &Value) -> Option<String> {
    let text = value.as_str()?.replace('\0', "");
    (!text.is_empty()).then_some(text)
}
