-- The address a server may still post to after it was given a new one, and wishes about marketing of people whose number is not known.

alter table instances
    add column previous_callback_token_hash bytea,
    add column previous_callback_jwt_key_sealed bytea,
    add column previous_callback_until timestamptz;
comment on column instances.previous_callback_token_hash is 'SHA-256 of the token before the present one: its server may not know yet that it changed, and repeats what it could not deliver to the old address';
comment on column instances.previous_callback_jwt_key_sealed is 'the key, encrypted, that belongs to the previous token';
comment on column instances.previous_callback_until is 'when the previous token ends';
create index instances_by_previous_callback_token on instances (previous_callback_token_hash)
    where previous_callback_token_hash is not null;

alter table unresolved_senders drop constraint unresolved_senders_wish_check;
alter table unresolved_senders add constraint unresolved_senders_wish_check
    check (wish in ('opt_out', 'opt_in', 'stop_marketing', 'resume_marketing'));
