// For the application inside the test process.
process.env.DATABASE_URL = process.env.TEST_DATABASE_URL;
process.env.LOG_LEVEL = 'silent';
process.env.NODE_ENV = 'production'; // no worker thread for readable logs
