drop index validations_in_review;
