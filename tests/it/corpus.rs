//! The corpus of ordinary and unwanted messages is what it says it is. Only the halves' shape is judged here.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

/// The messages of one file.
fn messages(half: &str, label: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/corpus/{half}/{label}.jsonl"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("each line is an object")).collect()
}

fn text<'a>(message: &'a Value, name: &str) -> &'a str {
    message[name].as_str().unwrap_or_else(|| panic!("{name} of {}", message["id"]))
}

pub fn corpus_is_large_enough_and_nothing_is_in_it_twice() {
    let (mut ids, mut texts) = (HashSet::new(), HashSet::new());
    for label in ["ordinary", "unwanted"] {
        let mut count = 0;
        let mut arabic = 0;
        for half in ["seen", "unseen"] {
            let messages = messages(half, label);
            assert!(messages.len() >= 150, "{half} {label}: {}", messages.len());
            count += messages.len();
            for message in &messages {
                assert_eq!(text(message, "label"), label);
                let purpose = gatepost::domain::purpose::Purpose::parse(text(message, "purpose"));
                assert!(purpose.is_some(), "the purpose of {}", message["id"]);
                arabic += usize::from(text(message, "language") != "en");
                assert!(ids.insert(text(message, "id").to_owned()), "{} twice", message["id"]);
                let body = text(message, "text");
                assert!(!body.is_empty() && !body.contains('\0') && body.encode_utf16().count() <= 4096);
                assert!(texts.insert(body.to_owned()), "the text of {} twice", message["id"]);
            }
        }
        assert!(count >= 300 && arabic >= 120, "{label}: {count}, {arabic} of them Arabic");
    }
}
