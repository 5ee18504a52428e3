"""DNS data: values of records and zone files, read and written with dnspython."""
