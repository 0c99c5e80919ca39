-- What the guard remembers of the recent past, the reviews of instances, and suppressions with an end.

create table sightings (
    account_id bigint not null,
    counter    text not null check (counter in ('same_text', 'new_recipients', 'blocked', 'codes')),
    subject    bigint not null,
    member     bigint not null,
    seen_at    timestamptz not null default now(),
    expires_at timestamptz not null,
    primary key (account_id, counter, subject, member)
);
comment on table sightings is 'what is counted over a sliding window: a member is counted once for its subject, and no subject has more than the largest threshold asks for';
comment on column sightings.counter is 'what is counted';
comment on column sightings.seen_at is 'when the member was last seen';
comment on column sightings.subject is 'same_text: the text; new_recipients and blocked: the instance; codes: the recipient; as 64 bits of a keyed hash';
comment on column sightings.member is 'same_text and new_recipients: the recipient, as 64 bits of a keyed hash; blocked and codes: one of its own for each message';
comment on column sightings.expires_at is 'when no window reaches back to it any more; swept then';
create index sightings_by_age on sightings (expires_at);

create table door (
    account_id  bigint not null,
    instance_id text not null,
    lane        text not null check (lane in ('priority', 'standard')),
    next_at     timestamptz not null,
    primary key (account_id, instance_id, lane)
) with (fillfactor = 50);
comment on table door is 'the schedule of each instance as if every accepted message took its slot at once: how long the next one would wait, known before a worker has looked at any';
comment on column door.next_at is 'when the schedule is empty again';

create table contacts (
    account_id bigint not null,
    recipient  bigint not null,
    first_at   timestamptz not null default now(),
    last_at    timestamptz not null default now(),
    primary key (account_id, recipient)
);
comment on table contacts is 'to whom an account has written before; forgotten half a year after the last time';
comment on column contacts.recipient is '64 bits of the number''s keyed hash';
comment on column contacts.first_at is 'when it was written to for the first time, as far as is remembered';
comment on column contacts.last_at is 'brought up to date at most once a month';
create index contacts_by_age on contacts (last_at);

create table internal_numbers (
    account_id bigint not null references accounts,
    recipient  text not null,
    name       text,
    created_at timestamptz not null default now(),
    primary key (account_id, recipient)
);
comment on table internal_numbers is 'the account''s own team: internal_team messages to them are no broadcast';
comment on column internal_numbers.recipient is 'E.164 digits without the plus';

create table reviews (
    account_id  bigint not null references accounts,
    review_id   uuid not null,
    instance_id text not null,
    action      text not null check (action in ('paused', 'resumed')),
    by_whom     text not null,
    note        text,
    log_id      bigint,
    at          timestamptz not null default now(),
    primary key (account_id, review_id)
);
comment on table reviews is 'append-only: who paused and resumed an instance, when and why';
comment on column reviews.review_id is 'UUIDv7: ordered by time';
comment on column reviews.note is 'why: the reason of a pause, the finding of a review';
comment on column reviews.by_whom is 'the operator''s name, or guard';
comment on column reviews.log_id is 'the decision that paused it, where the guard did';
create index reviews_by_instance on reviews (account_id, instance_id, at);

alter table suppressions
    add column starts_at timestamptz not null default now(),
    add column ends_at   timestamptz;
comment on column suppressions.starts_at is 'counts from then on';
comment on column suppressions.ends_at is 'counts until then; null: until it is lifted';

alter table policy_log add column rules_version text, add column facts jsonb;
comment on column policy_log.rules_version is 'the version of the rules that judged; null: refused before they were asked';
comment on column policy_log.facts is 'what the decision rested on besides the signals: usage, limits, waits; null: nothing was looked up';
