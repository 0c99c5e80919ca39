//! Sends as customers make them: to people they have written to before, in texts that differ by their numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;

use crate::load::Requests;
use crate::support::world::Customer;

/// What is written; the number makes each another text.
const TEXTS: [&str; 6] = [
    "Your order 0000000 has been shipped and will be with you on Tuesday between 10:00 and 14:00.",
    "Your invoice INV-0000000 is ready. The amount of 148.50 SAR is due on the last day of this month.",
    "Dear Sara, your appointment 0000000 at the clinic is confirmed for Monday at 09:30.",
    "Your payment for booking 0000000 was received. Thank you.",
    "Your parcel 0000000 is at the collection point. Please bring your ID, it is kept for seven days.",
    "تم شحن طلبك رقم 0000000 وسيصلك يوم الثلاثاء بين العاشرة والثانية ظهرا.",
];
const NUMBER: &str = "0000000";
/// Eight digits after the country code and the network's.
const PERSON: &str = "11111111";

/// How many digits the sandbox decides by, and the first of its endings that means nothing.
const ENDINGS: u64 = 10_000;
const FIRST_PLAIN: u64 = 1_000;

/// The first of the people who get codes: nobody else writes to them.
pub const CODES: u64 = 1_000_000;

/// The digits of the `n`-th person's number, without a plus.
pub fn phone(n: u64) -> String {
    format!("9665{:08}", person(n))
}

fn person(n: u64) -> u64 {
    let plain = ENDINGS - FIRST_PLAIN;
    (1_000 + n / plain) * ENDINGS + FIRST_PLAIN + n % plain
}

/// A request that lacks only its numbers.
struct Letter {
    bytes: Vec<u8>,
    phone_at: usize,
    number_at: usize,
}

impl Letter {
    fn new(customer: &Customer, purpose: &str, text: &str) -> Self {
        let body = json!({
            "instance_id": customer.instance, "phone": format!("+9665{PERSON}"), "message": text,
            "message_purpose": purpose,
        })
        .to_string();
        let head = format!(
            "POST /api/send-message HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            customer.key,
            body.len()
        );
        let at = |text: &str| head.len() + body.find(text).expect("it is in the body");
        let (phone_at, number_at) = (at(PERSON), at(NUMBER));
        Self { bytes: (head + &body).into_bytes(), phone_at, number_at }
    }

    fn write(&self, person: u64, number: u64, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend_from_slice(&self.bytes);
        digits(person, &mut into[start + self.phone_at..][..PERSON.len()]);
        digits(number, &mut into[start + self.number_at..][..NUMBER.len()]);
    }
}

/// Writes the last digits of a number that there is room for.
fn digits(mut number: u64, into: &mut [u8]) {
    for place in into.iter_mut().rev() {
        *place = b'0' + u8::try_from(number % 10).expect("one digit");
        number /= 10;
    }
}

/// The sends of some customers, in turn.
pub struct Letters {
    /// Of each customer.
    letters: Vec<Vec<Letter>>,
    first: u64,
    people: u64,
    next: AtomicU64,
}

impl Letters {
    /// Ordinary messages of these customers, each to so many people.
    pub fn of(customers: &[Customer], people: u64) -> Self {
        let of_one =
            |customer| TEXTS.iter().map(|text| Letter::new(customer, "transactional", text)).collect();
        Self { letters: customers.iter().map(of_one).collect(), first: 0, people, next: AtomicU64::new(0) }
    }

    /// One-time codes to so many people, who get nothing else.
    pub fn codes(customer: &Customer, people: u64) -> Self {
        let code = Letter::new(customer, "authentication", "Your code is 0000000.");
        Self { letters: vec![vec![code]], first: CODES, people, next: AtomicU64::new(0) }
    }
}

impl Requests for Letters {
    fn write(&self, into: &mut Vec<u8>) {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let customers = self.letters.len() as u64;
        let (customer, own) = (n % customers, n / customers);
        let letters = &self.letters[customer as usize];
        letters[(own % letters.len() as u64) as usize].write(person(self.first + own % self.people), n, into);
    }
}

/// Texts of the length that sends have, for who needs no request.
pub fn texts() -> impl Iterator<Item = String> {
    TEXTS.iter().map(|text| (*text).to_owned()).cycle()
}
