//! Message templates: texts that the provider has approved, sent by name with the places in them filled in.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest name of a template, in characters; Meta's limit.
const LONGEST_NAME: usize = 512;
/// The longest code of a language, as in `en_US`.
const LONGEST_LANGUAGE: usize = 16;
/// Most parameters of one template.
const MOST_PARAMETERS: usize = 100;
/// The longest texts of all parameters together, in UTF-16 units: no longer than a message.
const LONGEST_TEXTS: usize = 4096;

/// A template to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// Its name at the provider.
    pub name: String,
    /// The code of its language there, for example `ar` or `en_US`.
    pub language: String,
    /// What is filled in.
    #[serde(default)]
    pub parameters: Parameters,
}

/// What is filled in: a template has numbered places or named ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameters {
    /// For the places 1, 2, 3 and so on.
    Numbered(Vec<String>),
    /// By the places' names.
    Named(BTreeMap<String, String>),
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Numbered(Vec::new())
    }
}

impl Parameters {
    /// The texts alone.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        let (numbered, named) = match self {
            Self::Numbered(texts) => (Some(texts.iter()), None),
            Self::Named(texts) => (None, Some(texts.values())),
        };
        numbered.into_iter().flatten().chain(named.into_iter().flatten()).map(String::as_str)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Numbered(_) => None,
            Self::Named(texts) => Some(texts.keys()),
        }
        .into_iter()
        .flatten()
        .map(String::as_str)
    }
}

impl Template {
    /// Reads a template as customers write it. `None`: it is not one, or something in it is too long, empty or not known.
    /// What is in a member of another name would not be sent, so that is refused as well.
    #[must_use]
    pub fn parse(value: &Value) -> Option<Self> {
        // Otherwise a list of the members' values would do as well.
        let object = value.is_object().then(|| value.clone())?;
        let template: Self = serde_json::from_value(object).ok()?;
        template.is_usable().then_some(template)
    }

    /// All the texts that the recipient will read: the message, and whatever is filled in that it does not say.
    #[must_use]
    pub fn texts_beside<'a>(&self, message: &'a str) -> Cow<'a, str> {
        let mut texts = Cow::Borrowed(message);
        for text in self.parameters.texts().map(str::trim) {
            if !texts.contains(text) {
                let texts = texts.to_mut();
                texts.push('\n');
                texts.push_str(text);
            }
        }
        texts
    }

    fn is_usable(&self) -> bool {
        let length: usize = self.parameters.texts().map(|text| text.encode_utf16().count()).sum();
        is_word(&self.name, LONGEST_NAME)
            && is_word(&self.language, LONGEST_LANGUAGE)
            && self.parameters.texts().count() <= MOST_PARAMETERS
            && length <= LONGEST_TEXTS
            && self.parameters.names().all(|name| is_word(name, LONGEST_NAME))
            && self.parameters.texts().all(|text| !text.trim().is_empty() && !text.contains('\0'))
    }
}

/// The names in use are letters, digits and underscores; a language's code may have a dash.
fn is_word(word: &str, longest: usize) -> bool {
    !word.is_empty()
        && word.len() <= longest
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Parameters, Template};

    fn with(member: &str, value: Value) -> Value {
        let mut template = json!({"name": "order_ready", "language": "en_US", "parameters": ["Sara", "88"]});
        template[member] = value;
        template
    }

    #[test]
    fn parameters_are_numbered_or_named_or_left_out() {
        let texts = |parameters: Value| -> Vec<String> {
            let template = Template::parse(&with("parameters", parameters)).expect("a template");
            template.parameters.texts().map(str::to_owned).collect()
        };
        assert_eq!(texts(json!(["Sara", "88"])), ["Sara", "88"]);
        assert_eq!(texts(json!({"who": "سارة", "number": "88"})), ["88", "سارة"]);
        assert!(texts(json!([])).is_empty());
        let bare = Template::parse(&json!({"name": "hello", "language": "ar"})).expect("a template");
        assert_eq!(bare.parameters, Parameters::default());
    }

    #[test]
    fn what_is_filled_in_is_read_beside_the_message() {
        let texts = |parameters: Value| {
            let template = Template::parse(&with("parameters", parameters)).expect("a template");
            template.texts_beside("Hello").into_owned()
        };
        assert_eq!(texts(json!([])), "Hello");
        assert_eq!(texts(json!(["Hell", "o "])), "Hello");
        assert_eq!(texts(json!(["Sara", " 50% off ", "Sara"])), "Hello\nSara\n50% off");
        assert_eq!(texts(json!({"who": "Sara", "what": "Hello"})), "Hello\nSara");
    }

    #[test]
    fn what_is_stored_is_read_again() {
        for parameters in [json!([]), json!(["1"]), json!({"who": "x"})] {
            let template = Template::parse(&with("parameters", parameters)).expect("a template");
            let stored = serde_json::to_value(&template).expect("texts always serialise");
            assert_eq!(Template::parse(&stored).as_ref(), Some(&template));
        }
    }

    #[test]
    fn what_is_not_a_template_is_refused() {
        let many: Vec<String> = (0..101).map(|n| n.to_string()).collect();
        let long = "x".repeat(4097);
        for value in [
            json!("order_ready"),
            json!(["order_ready", "en_US", []]),
            json!({}),
            json!({"name": "order_ready"}),
            with("name", json!("")),
            with("name", json!("order ready")),
            with("name", json!("x".repeat(513))),
            with("language", json!({"code": "ar"})),
            with("language", json!("en/US")),
            with("components", json!([])),
            with("parameters", Value::Null),
            with("parameters", json!("Sara")),
            with("parameters", json!([88])),
            with("parameters", json!([" "])),
            with("parameters", json!(["a\u{0}b"])),
            with("parameters", json!({"who is it": "x"})),
            with("parameters", json!({"who": ["x"]})),
            with("parameters", json!(many)),
            with("parameters", json!([long])),
        ] {
            assert_eq!(Template::parse(&value), None, "{value:.60}");
        }
    }
}
