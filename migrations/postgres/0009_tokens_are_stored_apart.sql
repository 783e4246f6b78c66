-- The access token and the ID token of a usual grant are stored out of line (TOAST), so that the row that an intent rewrites is small
-- and its next version fits into the same page (HOT). The refresh token stays in the row, which is what an intent reads. Sealed
-- tokens cannot be compressed. Rows are stored so when they are next written.
ALTER TABLE grants SET (toast_tuple_target = 1024);
ALTER TABLE grants ALTER COLUMN access_token SET STORAGE EXTERNAL, ALTER COLUMN id_token SET STORAGE EXTERNAL;
