"""What happens, in order: the lives of servers, told as durable stories."""
