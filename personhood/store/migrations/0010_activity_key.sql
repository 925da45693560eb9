-- A project's lines are found by their key. Without a key that is the id alone, no plan can look
-- for a small project's newest lines among those of all projects; and there is one index less.

ALTER TABLE activity DROP CONSTRAINT activity_pkey;
DROP INDEX activity_project;
ALTER TABLE activity ADD PRIMARY KEY (project_id, id);
