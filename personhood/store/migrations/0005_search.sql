-- Lists of persons: search by trigrams, look-up by e-mail, keyset pages, times in property filters.

-- For the indexes over many persons below.
SET LOCAL maintenance_work_mem = '256MB';

-- Both are part of PostgreSQL's contrib, and trusted: whoever may create in the database may add them.
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS btree_gin;

-- Columns of their own, not expressions over `properties`: an index on an expression would have to
-- be looked at again with each change of any property. Cut, so that they fit into an index.
-- `listed_at` is where a person stands in keyset pages: its first created_at. A merge lowers
-- created_at, and a page that is already read would come again.
ALTER TABLE person
    ADD COLUMN email text GENERATED ALWAYS AS (left(properties ->> 'email', 320)) STORED,
    ADD COLUMN name text GENERATED ALWAYS AS (left(properties ->> 'name', 320)) STORED,
    ADD COLUMN listed_at timestamptz;

UPDATE person SET listed_at = created_at;
ALTER TABLE person ALTER COLUMN listed_at SET NOT NULL;

CREATE FUNCTION person_listed_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.listed_at := NEW.created_at;
    RETURN NEW;
END
$$;

CREATE TRIGGER person_listed_at BEFORE INSERT ON person
    FOR EACH ROW EXECUTE FUNCTION person_listed_at();

CREATE INDEX person_listed_at ON person (project_id, listed_at DESC, id DESC)
    WHERE merged_into_id IS NULL;
CREATE INDEX person_email ON person (project_id, email)
    WHERE merged_into_id IS NULL AND email IS NOT NULL;

CREATE INDEX person_search ON person USING gin (
    project_id,
    (coalesce(email, '') || ' ' || coalesce(name, '') || ' ' || uuid::text) gin_trgm_ops
) WHERE merged_into_id IS NULL;
CREATE INDEX distinct_id_search ON distinct_id USING gin (project_id, distinct_id gin_trgm_ops)
    WHERE ended_at IS NULL AND person_id IS NOT NULL;

-- A text that reads as a time, in ISO 8601 or as seconds or milliseconds since 1970, else NULL. What
-- names no time zone is of `zone`. Never an error, whatever the text.
CREATE FUNCTION instant_of(value text, zone text) RETURNS timestamptz
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    part text[];
    naive timestamp;
BEGIN
    IF value ~ '^[0-9]{10}([0-9]{3})?$' THEN
        RETURN to_timestamp(left(value, 10)::float8)
               + coalesce(nullif(substr(value, 11), '')::int, 0) * interval '1 millisecond';
    END IF;
    part := regexp_match(
        value,
        '^((?!0000)[0-9]{4})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])'
        '(?::([0-5][0-9])(?:[.]([0-9]{1,6})[0-9]{0,3})?)?'
        ' ?(?:(Z)|([+-])(0[0-9]|1[0-5])(?::?([0-5][0-9]))?)?)?$'
    );
    IF part IS NULL THEN
        RETURN NULL;
    END IF;
    naive := make_timestamp(part[1]::int, part[2]::int, 1, 0, 0, 0)
             + make_interval(days => part[3]::int - 1);
    IF date_part('month', naive) <> part[2]::int THEN
        RETURN NULL;  -- the 30th of February
    END IF;
    naive := naive
             + make_interval(hours => coalesce(part[4], '0')::int, mins => coalesce(part[5], '0')::int,
                             secs => coalesce(part[6], '0')::int)
             + rpad(coalesce(part[7], '0'), 6, '0')::int * interval '1 microsecond';
    IF part[8] IS NOT NULL THEN
        RETURN naive AT TIME ZONE 'UTC';
    ELSIF part[9] IS NOT NULL THEN
        RETURN (naive - (part[9] || '1')::int
                * make_interval(hours => part[10]::int, mins => coalesce(part[11], '0')::int))
               AT TIME ZONE 'UTC';
    END IF;
    RETURN naive AT TIME ZONE zone;
END
$$;
