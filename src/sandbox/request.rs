//! Meta's send request: what it must hold, and the error for each thing that is wrong with it.

use serde::Deserialize;

use super::faults::{Fault, Refusal};

/// Meta's limit on `text.body`. Whether Meta counts characters or UTF-16 units is not documented; the stricter
/// reading is used here, so that what passes the sandbox passes there.
const BODY_LIMIT: usize = 4096;

/// Meta's limit on `biz_opaque_callback_data`, in characters.
const OPAQUE_LIMIT: usize = 512;

/// The digits of an international number: E.164 has at most 15, and no country has numbers below 7.
const NUMBER_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The fields of a send that the sandbox looks at. Whatever else is there is ignored.
#[derive(Debug, Default, Deserialize)]
pub struct SendRequest {
    messaging_product: Option<String>,
    /// The recipient, as the client wrote it.
    pub to: Option<String>,
    r#type: Option<String>,
    text: Option<Text>,
    template: Option<Template>,
    /// The client's own note, which comes back with every status.
    #[serde(rename = "biz_opaque_callback_data")]
    pub opaque: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Text {
    body: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Template {
    name: Option<String>,
    language: Option<Language>,
}

#[derive(Debug, Deserialize)]
struct Language {
    code: Option<String>,
}

/// A send that is in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// The recipient as the client wrote it; the answer repeats it.
    pub input: String,
    /// The recipient's digits, WhatsApp's id for them.
    pub number: String,
    /// Templates get a `message_status`.
    pub template: bool,
}

impl SendRequest {
    /// Reads a body; errors 100 when it is not JSON or a field has the wrong type.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(body).map_err(|_| {
            Fault::InvalidParameter.because("The body is not JSON, or a field has the wrong type.")
        })
    }

    /// Checks the fields in the order Meta documents them; gives whom it goes to.
    pub fn check(&self) -> Result<Addressee, Refusal> {
        if self.messaging_product.as_deref() != Some("whatsapp") {
            return Err(Fault::InvalidParameter.because("Param messaging_product must be 'whatsapp'."));
        }
        let input = self.to.as_deref().filter(|to| !to.is_empty()).ok_or_else(|| missing("to"))?;
        let number =
            digits(input).ok_or_else(|| Fault::InvalidValue.because("Param to is not a phone number."))?;
        let template = match self.r#type.as_deref() {
            None | Some("text") => self.check_text().map(|()| false),
            Some("template") => self.check_template().map(|()| true),
            Some(_) => Err(Fault::UnsupportedType.into()),
        }?;
        if self.opaque.as_ref().is_some_and(|opaque| opaque.chars().count() > OPAQUE_LIMIT) {
            return Err(Fault::InvalidParameter
                .because("Param biz_opaque_callback_data must be at most 512 characters long."));
        }
        Ok(Addressee { input: input.to_owned(), number, template })
    }

    fn check_text(&self) -> Result<(), Refusal> {
        let text = self.text.as_ref().ok_or_else(|| {
            Fault::MissingParameter.because("Parameter 'text' is mandatory for type 'text'")
        })?;
        let body = text.body.as_deref().ok_or_else(|| missing("text.body"))?;
        if body.is_empty() {
            return Err(Fault::InvalidValue.because("Param text.body must not be empty."));
        }
        if body.encode_utf16().count() > BODY_LIMIT {
            return Err(
                Fault::InvalidParameter.because("Param text.body must be at most 4096 characters long.")
            );
        }
        Ok(())
    }

    fn check_template(&self) -> Result<(), Refusal> {
        let template = self.template.as_ref().ok_or_else(|| {
            Fault::MissingParameter.because("Parameter 'template' is mandatory for type 'template'")
        })?;
        template.name.as_ref().ok_or_else(|| missing("template.name"))?;
        template
            .language
            .as_ref()
            .and_then(|language| language.code.as_ref())
            .ok_or_else(|| missing("template.language.code"))?;
        Ok(())
    }
}

fn missing(parameter: &str) -> Refusal {
    Fault::MissingParameter.because(format!("Parameter '{parameter}' is mandatory"))
}

/// The digits of a phone number written as Meta accepts it: `+`, spaces, dashes and brackets are allowed.
pub fn digits(number: &str) -> Option<String> {
    let written_well =
        number.chars().all(|sign| sign.is_ascii_digit() || matches!(sign, '+' | ' ' | '-' | '(' | ')'));
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    (written_well && NUMBER_DIGITS.contains(&digits.len())).then_some(digits)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Addressee, SendRequest, digits};

    fn check(body: &Value) -> Result<Addressee, u32> {
        SendRequest::read(body.to_string().as_bytes())
            .and_then(|request| request.check())
            .map_err(|refusal| refusal.code())
    }

    fn text(body: &str) -> Value {
        json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": "+966501230001",
            "type": "text", "text": {"preview_url": false, "body": body}, "biz_opaque_callback_data": "m:1"})
    }

    /// The ordinary text with one member replaced, or removed by `null`.
    fn with(member: &str, value: Value) -> Value {
        let mut body = text("Hello");
        body[member] = value;
        body
    }

    fn template(template: Value) -> Value {
        let mut body = with("type", json!("template"));
        body["template"] = template;
        body
    }

    #[test]
    fn a_text_in_order_passes() {
        let addressee = check(&text("Hello")).expect("in order");
        assert_eq!(
            addressee,
            Addressee { input: "+966501230001".into(), number: "966501230001".into(), template: false }
        );
    }

    #[test]
    fn a_template_in_order_passes() {
        let order = json!({"name": "order_ready", "language": {"code": "ar"}, "components": []});
        assert!(check(&template(order)).expect("in order").template);
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_code() {
        let rows = [
            (with("messaging_product", Value::Null), 100),
            (with("messaging_product", json!("sms")), 100),
            (with("to", Value::Null), 131_008),
            (with("to", json!("")), 131_008),
            (with("to", json!("someone")), 131_009),
            (with("to", json!("+12345")), 131_009),
            (with("to", json!(966_501_230_001_u64)), 100),
            (with("type", json!("image")), 131_051),
            (with("text", Value::Null), 131_008),
            (with("text", json!({})), 131_008),
            (with("text", json!("Hello")), 100),
            (text(""), 131_009),
            (text(&"x".repeat(4097)), 100),
            (text(&"\u{1f600}".repeat(2049)), 100),
            (with("biz_opaque_callback_data", json!("x".repeat(513))), 100),
            (template(Value::Null), 131_008),
            (template(json!({"language": {"code": "ar"}})), 131_008),
            (template(json!({"name": "order_ready"})), 131_008),
            (json!([]), 100),
        ];
        for (body, code) in rows {
            assert_eq!(check(&body), Err(code), "{body}");
        }
        assert!(check(&text(&"x".repeat(4096))).is_ok());
        assert!(check(&with("biz_opaque_callback_data", json!("x".repeat(512)))).is_ok());
    }

    #[test]
    fn a_number_may_be_written_as_people_write_it() {
        assert_eq!(digits("+966 (50) 123-0001").as_deref(), Some("966501230001"));
        assert_eq!(digits("966501230001").as_deref(), Some("966501230001"));
        assert_eq!(digits("٩٦٦٥٠١٢٣٠٠٠١"), None);
        assert_eq!(digits("+9665012300011234"), None);
    }
}
