"""What each archive of the stand-in answers: one module a service, each a function of a request, none of them knowing sockets."""
