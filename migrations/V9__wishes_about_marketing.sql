-- Wishes about marketing of people whose number is not known yet.

alter table unresolved_senders drop constraint unresolved_senders_wish_check;
alter table unresolved_senders add constraint unresolved_senders_wish_check
    check (wish in ('opt_out', 'opt_in', 'stop_marketing', 'resume_marketing'));
