alter table validations drop column pending_reason;
