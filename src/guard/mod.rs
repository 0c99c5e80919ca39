//! Judgement: may this be sent? Gathers what is known of the asker and of the text, and asks the rules.
//!
//! What needs no exactness is judged first ([`Guard::draft`]): the account, the instance, the purpose, the text. What
//! counts (limits, suppression, backlog, behaviour over time) is judged when it cannot change any more, by the commit
//! or, without consequences, by a dry check; both by [`batch::Batch`], so that they agree.

pub mod batch;
#[cfg(test)]
mod batch_tests;
pub mod directory;
pub mod guesses;
pub mod refusals;
pub mod rule_book;

use std::borrow::Cow;
use std::sync::Arc;

use uuid::Uuid;

use crate::domain::account::Periods;
use crate::domain::phone::PhoneNumber;
use crate::domain::purpose::Purpose;
use crate::domain::refusal::Refusal;
use crate::domain::send_request::{DeclaredPurpose, SendRequest};
use crate::runtime::clock::Clock;
use crate::runtime::secrets::SecretKey;
use crate::store::StoreError;
use crate::store::acceptance::{Asks, Draft, Keys, NewMessage};
use crate::store::directory::Key;
use directory::Directory;
use rule_book::RuleBook;

/// What a send is judged with; cloning shares it.
#[derive(Clone)]
pub struct Guard {
    /// Keys, accounts and instances.
    pub directory: Directory,
    /// The rules in force.
    pub rules: RuleBook,
    /// For the keyed hashes.
    pub secret_key: SecretKey,
    /// For the accounts' days.
    pub clock: Clock,
}

/// Who asks, and under what name.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The key and its account.
    pub key: Arc<Key>,
    /// The request's id.
    pub request_id: String,
    /// The `Idempotency-Key` and the SHA-256 of the body.
    pub idempotency: Option<(String, Vec<u8>)>,
}

impl Guard {
    /// Judges a well-formed send as far as that needs no counters.
    ///
    /// # Errors
    /// [`StoreError`] when the instance cannot be looked up.
    pub async fn draft(&self, asker: &Asker, request: SendRequest) -> Result<Draft, Arc<StoreError>> {
        let purpose = match request.purpose {
            DeclaredPurpose::Allowed(purpose) => Some(purpose),
            DeclaredPurpose::Missing | DeclaredPurpose::NotAllowed => None,
        };
        let (refusal, purpose) = match self.refused_early(asker, &request).await? {
            None => match purpose {
                Some(purpose) => return Ok(self.message(asker, request, purpose)),
                None if request.purpose == DeclaredPurpose::Missing => (Refusal::PurposeRequired, None),
                None => (Refusal::PurposeNotAllowed, None),
            },
            Some(refusal) => (refusal, purpose),
        };
        let draft = self.refused(asker, refusal);
        Ok(Draft { instance_id: Some(request.instance_id), purpose, ..draft })
    }

    /// A refusal that is only to be logged.
    #[must_use]
    pub fn refused(&self, asker: &Asker, refusal: Refusal) -> Draft {
        self.asking(asker, Asks::Nothing(refusal))
    }

    fn asking(&self, asker: &Asker, asks: Asks) -> Draft {
        let account = &asker.key.account;
        Draft {
            account_id: account.account_id,
            key_id: asker.key.key_id,
            request_id: asker.request_id.clone(),
            instance_id: None,
            purpose: None,
            limits: account.limits,
            periods: Periods::at(self.clock.now(), &account.timezone),
            asks,
        }
    }

    async fn refused_early(
        &self,
        asker: &Asker,
        request: &SendRequest,
    ) -> Result<Option<Refusal>, Arc<StoreError>> {
        let account = &asker.key.account;
        if !account.api_access {
            return Ok(Some(Refusal::ModuleNotEnabled));
        }
        if account.limits.is_none() {
            return Ok(Some(Refusal::ActivePlanRequired));
        }
        let provider = self.directory.provider(account.account_id, &request.instance_id).await?;
        Ok(match provider {
            None => Some(Refusal::InvalidInstance),
            Some(provider) if request.template.is_some() && !provider.has_templates() => {
                Some(Refusal::Validation(vec!["template".to_owned()]))
            }
            Some(_) => None,
        })
    }

    /// Reads the text and puts everything together.
    fn message(&self, asker: &Asker, request: SendRequest, purpose: Purpose) -> Draft {
        let rules = self.rules.current();
        let texts = match &request.template {
            Some(template) => template.texts_beside(&request.message),
            None => Cow::Borrowed(request.message.as_str()),
        };
        let reading = rules.read(&texts, purpose);
        let validity = purpose.validity_seconds().min(request.validity_seconds.unwrap_or(u32::MAX));
        let recipient_hash = self.secret_key.phone_hash(request.phone.digits());
        // Of a text without a letter or digit nothing else is left to tell it by.
        let identity = if reading.identity.is_empty() { texts.as_ref() } else { &reading.identity };
        let keys = self.keys(&request.phone, identity, &request.instance_id);
        let message = NewMessage {
            message_id: Uuid::now_v7(),
            keys,
            recipient: request.phone.digits().to_owned(),
            recipient_hash,
            body: request.message,
            template: request.template,
            purpose,
            validity_seconds: validity.cast_signed(),
            idempotency: asker.idempotency.clone(),
            signals: reading.signals,
            rules,
        };
        let draft = self.asking(asker, Asks::Message(Box::new(message)));
        Draft { instance_id: Some(request.instance_id), purpose: Some(purpose), ..draft }
    }

    fn keys(&self, phone: &PhoneNumber, identity: &str, instance_id: &str) -> Keys {
        Keys {
            text: self.secret_key.fingerprint("text", identity),
            recipient: self.secret_key.fingerprint("phone", phone.digits()),
            instance: self.secret_key.fingerprint("instance", instance_id),
        }
    }
}
