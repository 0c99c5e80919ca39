//! How long the built-in rules take to read the longest texts there are: 4096 characters.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use gatepost::domain::purpose::Purpose;
use gatepost::domain::rules::Rules;

const LENGTH: usize = 4096;

fn filled(text: &str) -> String {
    text.chars().cycle().take(LENGTH).collect()
}

fn texts() -> [(&'static str, String); 6] {
    [
        (
            "english",
            filled("Your order 2041 was packed this morning and leaves the warehouse on Tuesday at 10:30. "),
        ),
        ("arabic", filled("تم تجهيز طلبك رقم ٢٠٤١ صباح اليوم وسيغادر المستودع يوم الثلاثاء الساعة ١٠:٣٠. ")),
        (
            "advertising",
            filled(
                "Big summer sale! Up to 70% off everything, buy 1 get 1 free, shop now! خصم ٥٠٪ على كل العطور ",
            ),
        ),
        (
            "tricks",
            filled("d1sc0unt f.r.e.e g\u{200b}ift ѕаlе خَـصْـم freeee ｓａｌｅ b_u_y n.o.w 𝗙𝗥𝗘𝗘 !o% s@le "),
        ),
        ("letters", "a ".repeat(LENGTH / 2)),
        ("marks", filled("\u{200b}!ـَ٪$٬.,-|")),
    ]
}

fn reading(criterion: &mut Criterion) {
    let rules = Rules::builtin();
    let mut group = criterion.benchmark_group("read");
    for (name, text) in texts() {
        group.bench_function(name, |bencher| {
            bencher.iter(|| rules.read(black_box(&text), Purpose::Transactional));
        });
    }
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
