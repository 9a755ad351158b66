-- +goose Up

-- Makes the partition of stats that holds a day's month, if it is missing. It
-- runs with its owner's rights, so that delta's role needs none to make tables.
-- +goose StatementBegin
CREATE FUNCTION leat.make_month(day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = leat, pg_temp AS $$
DECLARE
	first date := date_trunc('month', day);
	name  text := 'stats_' || to_char(day, 'YYYY_MM');
BEGIN
	IF day < DATE '2000-01-01' OR day > current_date + 800 THEN
		RAISE EXCEPTION 'stats of % are not kept', day USING ERRCODE = 'datetime_field_overflow';
	END IF;
	PERFORM pg_advisory_xact_lock(hashtext('leat.stats')); -- two makers would each find it missing
	IF to_regclass(name) IS NULL THEN
		EXECUTE format('CREATE TABLE %I (LIKE stats INCLUDING ALL)', name);
		EXECUTE format('ALTER TABLE stats ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, (first + interval '1 month')::date);
	END IF;
END $$;
-- +goose StatementEnd
REVOKE ALL ON FUNCTION leat.make_month(date) FROM PUBLIC;
