-- What Evolution's callbacks need: an address of its own for each instance, who said how an instance is connected, and
-- the people it names by its own ids instead of their numbers.

alter table instances add column if not exists callback_token_hash bytea;
create unique index if not exists instances_by_callback_token on instances (callback_token_hash)
    where callback_token_hash is not null;
comment on column instances.callback_token_hash is 'SHA-256 of the token in the address Evolution calls; null: it is not listened to';

alter table instances
    add column connection_by text not null default 'operator' check (connection_by in ('operator', 'provider')),
    add column connection_at timestamptz;
comment on column instances.connection_by is 'who said the connection last; what an operator closed or holds no provider opens';
comment on column instances.connection_at is 'when that was said; an older report that comes late changes nothing';

alter table callbacks add column instance_id text;
comment on column callbacks.instance_id is 'Evolution: the instance whose address was called; null for Meta, whose bodies name the numbers they speak of';
comment on column callbacks.body_hash is 'SHA-256 of the body, for Evolution with the instance''s id before it: a repeated callback is the same row';

-- A message whose outcome is unknown is recognised by its recipient and text when Evolution tells that it went out.
create index messages_of_unknown_outcome on messages (account_id, instance_id, recipient) where status = 'unknown';

create table sender_aliases (
    account_id bigint not null,
    sender     text not null,
    recipient  text not null,
    learnt_at  timestamptz not null default now(),
    primary key (account_id, sender)
);
comment on table sender_aliases is 'people whom Evolution has named by an id of WhatsApp''s (LID) and by their number';
comment on column sender_aliases.sender is 'the LID with its domain, 184467440737095@lid';
comment on column sender_aliases.learnt_at is 'when the id was first seen with this number';

create table unresolved_senders (
    account_id  bigint not null,
    instance_id text not null,
    sender      text not null,
    wish        text not null check (wish in ('opt_out', 'opt_in')),
    first_at    timestamptz not null,
    last_at     timestamptz not null,
    resolved_at timestamptz,
    primary key (account_id, instance_id, sender)
);
comment on table unresolved_senders is 'wishes of people whose number is not known: they cannot be heeded before it is';
comment on column unresolved_senders.sender is 'the LID they wrote from';
comment on column unresolved_senders.wish is 'what they asked for last';
comment on column unresolved_senders.first_at is 'when they first wrote a wish that waits';
comment on column unresolved_senders.last_at is 'when they wrote the last one';
comment on column unresolved_senders.resolved_at is 'when their number became known and the wish was carried out; null: it waits';
