-- When a host was last waited for in vain. It is no candidate until it reports again: reported > silent.
ALTER TABLE hosts ADD COLUMN silent timestamptz;
